"""Where a checkpoint's name leads: the bundled model, a file, a folder with weights, or a repository of the
Hugging Face Hub, whose files are downloaded once into its cache.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from safetensors import SafetensorError, safe_open

from stylemap import assets
from stylemap.checkpoint.contents import CONFIG_FILE, CONFIG_KEY, CheckpointError, one_line
from stylemap.optional import require

DEMO = "demo"
PREFIX = "hf://"
WEIGHTS = "model.safetensors"
_SUFFIXES = (".safetensors", ".pt")
_NAME = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([^/@]+))?(?:/([^@]*[^@/]))?/?")
_PATIENCE = 5.0  # seconds for the Hub's first answer
_FORM = "expected hf://USER/REPOSITORY or hf://USER/REPOSITORY/FILE, with @REVISION after the repository"


def locate(name: str | os.PathLike[str]) -> Path:
    """The file of a checkpoint.

    name: "demo": the bundled model's. A folder: its model.safetensors, else its one .safetensors or .pt file;
        one without either is returned as it is. "hf://USER/REPOSITORY/FILE", or without FILE for
        model.safetensors (and config.json, where that carries no configuration): the file in the Hub's cache,
        downloaded where the cache lacks it or the Hub has a newer one; HF_HUB_OFFLINE=1 asks for the cache
        alone. Any other path is returned as it is.

    Raises CheckpointError, one line that begins with the name: no bundled model, several weights in a folder,
    nothing of that name on the Hub, or the Hub out of reach and nothing in its cache. ImportError without
    huggingface_hub.
    """
    if name == DEMO:
        bundled = assets.demo_model()
        if bundled is None:
            raise CheckpointError(
                f"{DEMO}: this copy of stylemap bundles no model; name the file of a checkpoint"
            )
        return bundled
    if is_remote(name):
        return _fetched(str(name))
    if isinstance(name, str) and "://" in name:
        raise CheckpointError(f"{name}: models are files, or of the Hub, {PREFIX}USER/REPOSITORY")
    path = Path(name)
    return _in_folder(path) if path.is_dir() else path


def is_remote(name: object) -> bool:
    """Whether a name is one of the Hub's."""
    return isinstance(name, str) and name.startswith(PREFIX)


def _in_folder(folder: Path) -> Path:
    usual = folder / WEIGHTS
    if usual.is_file():
        return usual
    for suffix in _SUFFIXES:
        found = sorted(path for path in folder.iterdir() if path.suffix == suffix and path.is_file())
        if len(found) > 1:
            raise CheckpointError(
                f"{folder}: a folder of {len(found)} {suffix} files and no {WEIGHTS}: name one, such as "
                f"{found[-1]}"
            )
        if found:
            return found[0]
    return folder


def _fetched(name: str) -> Path:
    match = _NAME.fullmatch(name)
    if match is None or ".." in name.split("/"):
        raise CheckpointError(f"{name}: {_FORM}")
    repository, revision, file = match[1], match[2] and unquote(match[2]), match[3]
    if file is not None:
        return _download(name, repository, file, revision)
    weights = _download(name, repository, WEIGHTS, revision)
    if _lacks_configuration(weights):
        # Of the same commit: the folder of a snapshot is named after it.
        _download(name, repository, CONFIG_FILE, weights.parent.name)
    return weights


def _lacks_configuration(weights: Path) -> bool:
    try:
        with safe_open(weights, framework="pt") as file:
            return CONFIG_KEY not in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False  # whoever reads it says what is wrong with it


def _download(name: str, repository: str, file: str, revision: str | None) -> Path:
    huggingface_hub = require("huggingface_hub", name)
    errors = require("huggingface_hub.errors", name)
    _check_in_reach(name, repository, file, revision)
    try:
        return Path(
            huggingface_hub.hf_hub_download(repository, file, revision=revision, library_name="stylemap")
        )
    except errors.LocalEntryNotFoundError as error:
        raise CheckpointError(f"{name}: {_out_of_reach(file)}") from error
    except errors.EntryNotFoundError as error:
        hint = f": name one, as {name.rstrip('/')}/FILE" if file == WEIGHTS else ""
        raise CheckpointError(f"{name}: the repository {repository} has no file {file}{hint}") from error
    except errors.RevisionNotFoundError as error:
        raise CheckpointError(f"{name}: the repository {repository} has no revision {revision}") from error
    except errors.GatedRepoError as error:
        raise CheckpointError(
            f"{name}: {repository} gives its files to those who accepted its terms: log in by `hf auth login`"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise CheckpointError(
            f"{name}: no repository {repository} on the Hub, or a private one: log in by `hf auth login`"
        ) from error
    except (errors.HFValidationError, OSError) as error:
        raise CheckpointError(f"{name}: cannot be downloaded ({one_line(error)})") from error


def _check_in_reach(name: str, repository: str, file: str, revision: str | None) -> None:
    """Asks the Hub once for a file that the cache lacks: a download would try for half a minute.

    Raises CheckpointError where nothing answers. What an answer says is left to the download.
    """
    import huggingface_hub
    from huggingface_hub import constants, errors

    cached = huggingface_hub.try_to_load_from_cache(repository, file, revision=revision)
    if constants.HF_HUB_OFFLINE or isinstance(cached, str):
        return
    seconds = float(os.environ.get("HF_HUB_ETAG_TIMEOUT", _PATIENCE))
    try:
        url = huggingface_hub.hf_hub_url(repository, file, revision=revision)
        huggingface_hub.get_hf_file_metadata(url, timeout=seconds, library_name="stylemap")
    except (errors.HfHubHTTPError, errors.HFValidationError):
        return
    except Exception as error:  # of the HTTP library, which differs between releases of huggingface_hub
        raise CheckpointError(f"{name}: {_out_of_reach(file)} ({one_line(error)})") from error


def _out_of_reach(file: str) -> str:
    from huggingface_hub import constants

    why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else f"{constants.ENDPOINT} cannot be reached"
    return f"{file} is not in the cache {constants.HF_HUB_CACHE}, and {why}"
