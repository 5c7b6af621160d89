"""What an image becomes with the platform layer: byte for byte, and nothing but what must change."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import derive, media
from reconciler.layer import Layer

LAYER = Layer("linux/amd64", Path("layer"), "sha256:" + "3c" * 32, "sha256:" + "4d" * 32, 7, "1.3")
BASE_LAYER = {"mediaType": media.OCI_LAYER, "size": 5, "digest": "sha256:" + "1a" * 32}
CONFIG: dict[str, Any] = {
    "created": "2026-01-01T00:00:00Z",
    "architecture": "amd64",
    "os": "linux",
    "config": {"Entrypoint": ["/bin/sh", "-c"], "Cmd": ["x"], "Env": ["A=b"], "OnBuild": ["RUN x"], "New": 1},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "2b" * 32]},
    "history": [{"created_by": "theirs"}, {"created_by": "CMD", "empty_layer": True}],
    "moby.buildkit.trace": "kept",
}
MANIFEST: dict[str, Any] = {
    "schemaVersion": 2,
    "mediaType": media.OCI_MANIFEST,
    "config": {"mediaType": media.OCI_CONFIG, "size": 1, "digest": "sha256:old", "data": "b2xk"},
    "layers": [BASE_LAYER],
    "annotations": {"theirs": "kept"},
    "subject": {"digest": "sha256:other"},
    "x-unknown": [1, None],
}


def base(manifest: dict[str, Any] = MANIFEST, config: dict[str, Any] = CONFIG, said: str = "") -> derive.Base:
    return derive.Base(
        json.dumps(manifest, indent=2).encode(),
        said,
        json.dumps(config).encode(),
        "docker.io/a/b:3",
        "sha256:base",
    )


def digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def test_the_layer_goes_on_top_and_everything_else_stays() -> None:
    made = derive.image(base(), LAYER)
    manifest, config = json.loads(made.manifest), json.loads(made.config)
    assert manifest == {
        "schemaVersion": 2,
        "mediaType": media.OCI_MANIFEST,
        "config": {"mediaType": media.OCI_CONFIG, "size": len(made.config), "digest": digest(made.config)},
        "layers": [BASE_LAYER, {"mediaType": media.OCI_LAYER, "size": 7, "digest": LAYER.digest}],
        "annotations": {
            "theirs": "kept",
            "org.opencontainers.image.base.name": "docker.io/a/b:3",
            "org.opencontainers.image.base.digest": "sha256:base",
            "bunnies.layer.digest": LAYER.digest,
            "bunnies.layer.version": "1.3",
        },
        "x-unknown": [1, None],
    }
    entrypoint = ["/bunnies/bin/bunny-init", "--entrypoint-args=2", "--", "/bin/sh", "-c"]
    assert config == {
        **CONFIG,
        "config": {**CONFIG["config"], "Entrypoint": entrypoint},
        "rootfs": {"type": "layers", "diff_ids": [*CONFIG["rootfs"]["diff_ids"], LAYER.diff_id]},
        "history": [
            *CONFIG["history"],
            {
                "created": CONFIG["created"],
                "created_by": "bunnies: the platform layer, version 1.3",
                "comment": LAYER.digest,
            },
        ],
    }
    assert list(config) == list(CONFIG)
    assert list(config["config"]) == list(CONFIG["config"])


def test_the_same_base_and_layer_give_the_same_bytes() -> None:
    assert derive.image(base(), LAYER) == derive.image(base(), LAYER)


@pytest.mark.parametrize(
    ("own", "said", "config", "expected", "layer"),
    [
        (media.DOCKER_MANIFEST, "", media.DOCKER_CONFIG, media.DOCKER_MANIFEST, media.DOCKER_LAYER),
        (None, media.OCI_MANIFEST, media.OCI_CONFIG, media.OCI_MANIFEST, media.OCI_LAYER),
        (None, "application/json", media.OCI_CONFIG, media.OCI_MANIFEST, media.OCI_LAYER),
        (None, "text/plain", media.DOCKER_CONFIG, media.DOCKER_MANIFEST, media.DOCKER_LAYER),
    ],
)
def test_media_types_follow_the_base_which_may_not_say_its_own(
    own: str | None, said: str, config: str, expected: str, layer: str
) -> None:
    manifest = copy.deepcopy(MANIFEST)
    manifest["config"]["mediaType"] = config
    if own is None:
        del manifest["mediaType"]
    else:
        manifest["mediaType"] = own
    made = derive.image(base(manifest, said=said), LAYER)
    after = json.loads(made.manifest)
    assert made.media_type == expected
    assert after.get("mediaType") == own
    assert after["layers"][-1]["mediaType"] == layer


@pytest.mark.parametrize("config", [None, {}, {"Entrypoint": None}, {"Entrypoint": []}])
def test_an_image_without_an_entrypoint_gets_one_without_words(config: Any) -> None:
    made = derive.image(base(config={**CONFIG, "config": config}), LAYER)
    assert json.loads(made.config)["config"]["Entrypoint"] == [derive.INIT, "--entrypoint-args=0", "--"]


def test_a_history_that_is_left_out_stays_so() -> None:
    bare = {key: value for key, value in CONFIG.items() if key not in ("history", "created")}
    assert "history" not in json.loads(derive.image(base(config=bare), LAYER).config)
    undated = {key: value for key, value in CONFIG.items() if key != "created"}
    assert "created" not in json.loads(derive.image(base(config=undated), LAYER).config)["history"][-1]


def changed(document: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**document, **fields}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            base(config=changed(CONFIG, config={"Entrypoint": [derive.INIT]})),
            "has the platform layer already",
        ),
        (
            base(
                changed(MANIFEST, layers=[BASE_LAYER] * 2),
                changed(CONFIG, rootfs={"diff_ids": ["a", LAYER.diff_id]}),
            ),
            "has the platform layer already",
        ),
        (base(changed(MANIFEST, annotations={derive.LAYER_DIGEST: "x"})), "has the platform layer already"),
        (
            base(config=changed(CONFIG, architecture="arm64")),
            "the image is for linux/arm64, the manifest says linux/amd64",
        ),
        (base(config=changed(CONFIG, os="windows")), "the image is for windows/amd64"),
        (base(changed(MANIFEST, layers=[])), "do not tell of the same layers"),
        (base(config=changed(CONFIG, rootfs=None)), "do not tell of the same layers"),
        (
            base(changed(MANIFEST, config={"mediaType": "application/vnd.cncf.helm.config.v1+json"})),
            "no container image",
        ),
        (base({"schemaVersion": 1, "fsLayers": []}, said="application/json"), "schema 1"),
        (base(changed(MANIFEST, mediaType=media.OCI_INDEX)), "no container image"),
        (derive.Base(b"[]", "", b"{}", "n", "d"), "no JSON object"),
        (derive.Base(b"\xff", "", b"{}", "n", "d"), "no JSON object"),
    ],
)
def test_a_base_that_cannot_take_the_layer_says_why(found: derive.Base, words: str) -> None:
    with pytest.raises(derive.DeriveError, match=words):
        derive.image(found, LAYER)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON), st.dictionaries(st.text(), JSON))
def test_fields_that_nobody_knows_survive(more: dict[str, Any], deeper: dict[str, Any]) -> None:
    config = {**more, **CONFIG, "config": {**deeper, "Entrypoint": None}}
    after = json.loads(derive.image(base(config=config), LAYER).config)
    assert {key: after[key] for key in more if key not in CONFIG} == {
        key: value for key, value in more.items() if key not in CONFIG
    }
    assert {**after["config"], "Entrypoint": None} == config["config"]


def entry(name: str, **platform: str) -> dict[str, Any]:
    runs = {"os": "linux", **platform}
    return {
        "digest": f"sha256:{name}",
        "size": 1,
        "mediaType": media.OCI_MANIFEST,
        "platform": runs,
        "x": name,
    }


ARM = entry("arm", architecture="arm64", variant="v8")
AMD = entry("amd", architecture="amd64")
WINDOWS = entry("win", os="windows", architecture="amd64")
ATTESTATION = entry("att", os="unknown", architecture="unknown") | {
    "annotations": {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": "sha256:amd",
    }
}
INDEX = {
    "schemaVersion": 2,
    "mediaType": media.OCI_INDEX,
    "manifests": [ARM, WINDOWS, AMD, ATTESTATION],
    "subject": {},
    "more": 1,
}


def test_an_index_says_which_platforms_it_has() -> None:
    assert derive.platforms(INDEX) == {
        "linux/arm64": "sha256:arm",
        "linux/arm64/v8": "sha256:arm",
        "linux/amd64": "sha256:amd",
    }
    assert derive.platforms({}) == {}


def test_an_index_keeps_its_order_and_fields_and_loses_what_was_not_made_and_what_would_dangle() -> None:
    body = derive.index(
        json.dumps(INDEX).encode(), "name", "sha256:ix", {"sha256:amd": b"{}", "sha256:arm": b"[]"}
    )
    after = json.loads(body)
    assert after == {
        "schemaVersion": 2,
        "mediaType": media.OCI_INDEX,
        "manifests": [
            {**ARM, "digest": digest(b"[]"), "size": 2},
            {**AMD, "digest": digest(b"{}"), "size": 2},
        ],
        "more": 1,
        "annotations": {derive.BASE_NAME: "name", derive.BASE_DIGEST: "sha256:ix"},
    }
