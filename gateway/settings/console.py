"""The console's settings: whether it is there, and how long somebody who has signed in stays so."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_Seconds = Annotated[float, Field(ge=60, le=86_400 * 30)]


class Console(BaseModel):
    """The console at /console."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(
        default=True, description="Whether there is one. With credentials passed through it also needs `console.key_digest`."
    )
    key_digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        None,
        description="With credentials passed through: SHA-256 of a key for the console alone, as `feature-gateway new-key` makes both. It "
        "reads no features. Unset: there is no console then.",
    )
    session_s: _Seconds = Field(28_800.0, description="How long a session lasts at most, in seconds; then its key is asked for again.")
    idle_s: _Seconds = Field(3_600.0, description="A session that was not used for so long is over. A page that is looked at uses it.")
