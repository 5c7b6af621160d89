from __future__ import annotations

import pytest

from shim.init import inputs, spec
from shim.init.errors import ShimError


def job(*paths: str, size: int = 1) -> spec.JobSpec:
    objects = tuple(spec.Object(f"s3://b/{number}", path, size, "", "") for number, path in enumerate(paths))
    return spec.JobSpec(
        attempt=spec.Attempt("0" * 64, 1, "job/a", "s3://b/a/"),
        region="r",
        outputs_url="s3://b/o/",
        work_root="/",
        entrypoint=None,
        command=("x",),
        script=None,
        environment={},
        timeout=None,
        restart=None,
        stop_timeout=30,
        task={},
        image={},
        inputs=(spec.Input("a", "list", "a", objects),),
        outputs=(),
    )


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["../etc/passwd"], "cannot be put at '../etc/passwd'"),
        (["a/../../x"], "cannot be put at"),
        (["/etc/passwd"], "cannot be put at"),
        (["a//b"], "cannot be put at"),
        ([""], "cannot be put at"),
        (["a", "a"], "s3://b/1 and s3://b/0 both go to a"),
        (["a", "a/b"], "s3://b/0 goes to a, which must be a folder for s3://b/1"),
        (["x/a/b/c", "x/a"], "s3://b/1 goes to x/a, which must be a folder"),
    ],
)
def test_targets_that_leave_or_meet_are_refused(paths: list[str], message: str) -> None:
    with pytest.raises(ShimError) as caught:
        inputs.targets(job(*paths), "/input")
    assert message in str(caught.value)
    assert caught.value.exit_code == 65


def test_a_folder_s_marker_and_the_files_in_it_go_together() -> None:
    assert [target.path for target in inputs.targets(job("a/", "a/b"), "/input")] == [
        "/input/a/",
        "/input/a/b",
    ]


def test_inputs_that_do_not_fit_are_refused(tmp_path: object) -> None:
    with pytest.raises(ShimError, match="give the task more ephemeralStorage") as caught:
        inputs.check_space(inputs.targets(job("a", size=1 << 60), str(tmp_path)), str(tmp_path))
    assert caught.value.exit_code == 67
