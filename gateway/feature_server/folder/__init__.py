"""A feature repository as a folder: definitions in YAML, on-demand functions in Python modules beside them.

Every `*.yaml` and `*.yml` in the folder, in any layout, says what it declares of one workspace; what they declare is put together. Owns the
format, and telling every mistake with its file and line. The rules of sense are `validation`'s. Knows nothing of stores or requests.
"""

from pathlib import Path

from gateway.feature_server.definitions import Repository
from gateway.feature_server.folder.building import Building
from gateway.feature_server.folder.documents import Slip, read_documents
from gateway.feature_server.folder.files import read_files, told
from gateway.feature_server.folder.modules import Modules
from gateway.feature_server.folder.pieces import read_pieces
from gateway.feature_server.validation import DefinitionError, find_mistakes

__all__ = ["load"]


def load(folder: Path) -> Repository:
    """The repository in the folder as it is now. Raises DefinitionError with every mistake, in the order of file and line.

    Imports the modules that on-demand views name, which **runs the code of the folder** in this process, with all that this process may do:
    load only folders whose authors may do that. Blocks. May be called again, from any thread; loads have nothing to do with one another.
    """
    slips: list[Slip] = []
    try:
        root = folder.resolve(strict=True)
    except OSError as error:
        raise DefinitionError([f"{told(folder)}: the folder cannot be read: {error.strerror}."]) from error
    if not root.is_dir():
        raise DefinitionError([f"{told(folder)}: this is not a folder."])
    documents = [document for name, content in read_files(root, slips) for document in read_documents(name, content, slips)]
    whole = not slips
    pieces = read_pieces(documents, slips)
    with Modules(root) as modules:
        building = Building(pieces if whole else [], modules, slips)
        repository = building.repository()
        slips += [building.slip(mistake) for mistake in find_mistakes(repository)]
    if slips:
        modules.discard()
        raise DefinitionError(dict.fromkeys(str(slip) for slip in sorted(slips, key=lambda slip: (slip.file, slip.line))))
    if not repository.workspaces:
        raise DefinitionError([f"{told(folder)}: there are no definitions in its *.yaml and *.yml files."])
    return repository
