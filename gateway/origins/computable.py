"""Which on-demand views of the settings the gateway can compute for a feature service of a cluster, by what its metadata says.

A pure comparison of names and types. What does not fit is left to the cluster.
"""

from collections.abc import Sequence
from dataclasses import replace

from gateway.features import Feature, Field
from gateway.on_demand import OnDemandView


def fitted(view: OnDemandView, features: Sequence[Feature], context_keys: Sequence[Field]) -> OnDemandView:
    """The view with just the outputs that the service serves, in served order. Raises ValueError, which says what does not fit, as the end
    of the name of a setting."""
    served = [feature for feature in features if feature.view == view.name]
    outputs = dict(view.outputs)
    names = [feature.name.partition(".")[2] for feature in served]
    for name, feature in zip(names, served, strict=True):
        if name not in outputs:
            raise ValueError(f"outputs: the cluster also serves {feature.name}")
        if outputs[name] != feature.dtype:
            raise ValueError(f"outputs.{name}: the cluster says {feature.dtype}")
    held = {feature.name for feature in features}
    for source, wanted in view.inputs:
        missing = [f"{source}.{name}" for name in wanted if f"{source}.{name}" not in held]
        if missing:
            raise ValueError(f"inputs: the feature service does not serve {', '.join(missing)}")
    unknown = set(view.context_keys) - {field.name for field in context_keys}
    if unknown:
        raise ValueError(f"context_keys: the feature service has no {', '.join(sorted(unknown))}")
    return replace(view, outputs=tuple((name, outputs[name]) for name in names))
