"""`python -m reconciler.schema`: writes schemas/manifest.schema.json anew from botocore's service models, and its page."""

from __future__ import annotations

import json

from reconciler import schema
from reconciler.aws import Aws
from reconciler.schema import reference, source


def text() -> str:
    """The file's content."""
    aws = Aws(region=None)
    return (
        json.dumps(
            source.manifest(aws.service_model("ecs"), aws.service_model("ecr")), indent=1, ensure_ascii=False
        )
        + "\n"
    )


if __name__ == "__main__":
    (schema.folder() / "manifest.schema.json").write_text(text(), "utf-8")
    (schema.folder().parent / "docs" / "reference.md").write_text(reference.page(json.loads(text())), "utf-8")
