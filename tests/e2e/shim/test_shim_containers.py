"""bunny-init in real containers, without a job: a good PID 1 in an image that has nothing but one program."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

Run = Callable[..., Any]


def logs(container: Any) -> str:
    text: bytes = container.logs()
    return text.decode()


def test_the_exit_code_and_output_of_the_command_are_passed_on(shim_run: Run) -> None:
    container = shim_run(["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert container.wait()["StatusCode"] == 7
    assert sorted(logs(container).split()) == ["err", "out"]


def test_the_command_of_docker_lands_after_the_entrypoint_of_the_image(shim_run: Run) -> None:
    container = shim_run(["echo", "a b", ""])
    assert container.wait()["StatusCode"] == 0
    assert logs(container) == "a b \n"


@pytest.mark.parametrize(("argv", "code"), [(["/nope"], 127), (["nope"], 127), (["/etc"], 126)])
def test_a_command_that_cannot_be_run_ends_as_in_a_shell(shim_run: Run, argv: list[str], code: int) -> None:
    container = shim_run(["--entrypoint-args=0", "--", *argv], entrypoint="/bunnies/bin/bunny-init")
    assert container.wait()["StatusCode"] == code
    assert f"cannot run {argv[0]}" in logs(container)


def test_a_signal_that_kills_the_command_ends_as_128_plus_its_number(shim_run: Run) -> None:
    assert shim_run(["sh", "-c", "kill -9 $$"]).wait()["StatusCode"] == 137


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "USR1", "USR2", "QUIT", "RTMIN"])
def test_signals_reach_the_command_and_all_of_its_group(shim_run: Run, name: str) -> None:
    number = 34 if name == "RTMIN" else name
    script = f"trap 'echo child' {number}; (trap 'echo grandchild; exit' {number}; while :; do sleep 0.1; done) & while :; do sleep 0.1; done"
    container = shim_run(["sh", "-c", script])
    time.sleep(1)
    container.kill(signal=f"SIG{name}")
    time.sleep(0.7)
    container.kill(signal="SIGKILL")
    # A shell without job control has its background children ignore INT and QUIT (POSIX), whoever sends them.
    expected = {"child"} if name in ("INT", "QUIT") else {"child", "grandchild"}
    assert expected <= set(logs(container).splitlines())


def test_a_stop_that_the_command_obeys_takes_no_longer_than_the_command(shim_run: Run) -> None:
    container = shim_run(["sh", "-c", "trap 'exit 9' TERM; sleep 100 & wait"])
    time.sleep(1)
    begun = time.monotonic()
    container.stop(timeout=10)
    assert time.monotonic() - begun < 5
    assert container.wait()["StatusCode"] == 9


def test_orphans_are_reaped(shim_run: Run) -> None:
    script = (
        "for i in 1 2 3; do (sleep 0.1 & ) ; done; sleep 0.6; ps | grep -c '[Zz]ombie\\|\\[sleep\\]'; true"
    )
    container = shim_run(["sh", "-c", script])
    assert container.wait()["StatusCode"] == 0
    assert logs(container).strip() == "0"


def test_dispositions_and_mask_are_those_of_a_fresh_process(shim_run: Run) -> None:
    container = shim_run(["grep", "-E", "Sig(Ign|Blk)", "/proc/self/status"])
    container.wait()
    assert [line.split()[1] for line in logs(container).splitlines()] == ["0" * 16, "0" * 16]


def test_the_environment_is_the_images_and_nothing_more(shim_run: Run) -> None:
    container = shim_run(["env"], environment={"A": "1", "LANG": "C"}, hostname="host")
    container.wait()
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert sorted(logs(container).splitlines()) == sorted(
        [f"PATH={path}", "HOSTNAME=host", "A=1", "LANG=C", "HOME=/"]
    )


def test_it_needs_no_root_no_capability_and_nothing_to_write(shim_run: Run) -> None:
    container = shim_run(
        ["id", "-u"],
        user="1234",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        network_mode="none",
    )
    assert container.wait()["StatusCode"] == 0
    assert logs(container) == "1234\n"


def test_a_terminal_passes_through_with_the_command_in_the_foreground(shim_run: Run) -> None:
    container = shim_run(["sh", "-c", "read -r line; echo got $line; tty"], tty=True, stdin_open=True)
    socket = container.attach_socket(params={"stdin": 1, "stream": 1})
    socket._sock.sendall(b"hello\n")
    assert container.wait(timeout=10)["StatusCode"] == 0
    assert "got hello" in logs(container)
    assert "/dev/" in logs(container)
    socket._response.close()
    socket.close()


def test_the_work_folders_are_there_for_every_user(shim_run: Run) -> None:
    container = shim_run(["stat", "-c", "%a %n", "/input", "/output", "/scratch"], user="1234")
    container.wait()
    assert logs(container).splitlines() == ["1777 /input", "1777 /output", "1777 /scratch"]


def test_wrong_arguments_are_told_in_one_sentence(shim_run: Run) -> None:
    container = shim_run(["--entrypoint-args=3", "--", "a"], entrypoint="/bunnies/bin/bunny-init")
    assert container.wait()["StatusCode"] == 64
    assert "does not fit" in logs(container)


def test_the_supervisor_stays_small_while_the_command_runs(shim_run: Run) -> None:
    container = shim_run(["grep", "VmRSS", "/proc/1/status"])
    container.wait()
    assert int(logs(container).split()[1]) < 16 * 1024


# What tini and dumb-init promise, as cases of our own.


@pytest.mark.parametrize("number", [1, 2, 6, 9, 10, 11, 12, 13, 14, 15, 34])
def test_each_signal_that_ends_the_command_is_told_by_the_exit_status(shim_run: Run, number: int) -> None:
    container = shim_run(["sh", "-c", f"kill -{number} $$; sleep 5"])
    assert container.wait()["StatusCode"] == 128 + number


def test_every_exit_status_is_passed_on(shim_run: Run) -> None:
    for code in (1, 42, 64, 126, 255):
        assert shim_run(["sh", "-c", f"exit {code}"]).wait()["StatusCode"] == code


def test_zombies_of_a_deep_tree_are_reaped(shim_run: Run) -> None:
    script = "for i in $(seq 20); do (sh -c 'sleep 0.2 & exit' &); done; sleep 1; grep -l 'State:.Z' /proc/[0-9]*/status | wc -l"
    container = shim_run(["sh", "-c", script])
    assert container.wait()["StatusCode"] == 0
    assert logs(container).strip() == "0"


def test_the_working_directory_is_the_image_s(shim_run: Run) -> None:
    container = shim_run(["pwd"], working_dir="/usr/share")
    container.wait()
    assert logs(container) == "/usr/share\n"


def test_a_command_stopped_by_a_terminal_signal_continues(shim_run: Run) -> None:
    container = shim_run(["sh", "-c", "trap 'echo back' CONT; while :; do sleep 0.1; done"])
    time.sleep(1)
    container.kill(signal="SIGTSTP")
    time.sleep(0.3)
    container.kill(signal="SIGCONT")
    deadline = time.monotonic() + 5
    while "back" not in logs(container) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "back" in logs(container)


def test_the_command_leads_a_group_of_its_own_in_the_foreground_of_a_terminal(shim_run: Run) -> None:
    container = shim_run(["sh", "-c", "cut -d' ' -f5,8 /proc/self/stat; echo $$"], tty=True)
    container.wait()
    (group, foreground), (shell,) = (line.split() for line in logs(container).split("\r\n")[:2])
    assert group == foreground == shell


def test_it_works_as_a_subreaper_where_it_is_not_pid_1(shim_run: Run) -> None:
    inner = (
        "/bunnies/bin/bunny-init --entrypoint-args=0 -- /bin/busybox sh -c '(sleep 0.2 &); sleep 0.6; exit 9'"
    )
    container = shim_run(
        ["sh", "-c", f"{inner}; echo $?; grep -l State:.Z /proc/[0-9]*/status | wc -l"],
        entrypoint="/bin/busybox",
    )
    container.wait()
    assert logs(container).split() == ["9", "0"]


@pytest.mark.parametrize("shell_form", ["exec busybox echo $0 $GREETING", "busybox echo sh $GREETING"])
def test_an_entrypoint_in_shell_form_runs_as_it_always_did(shim_run: Run, shell_form: str) -> None:
    words = [
        "--entrypoint-args=4",
        "--",
        "/bin/busybox",
        "sh",
        "-c",
        shell_form.replace("busybox", "/bin/busybox"),
    ]
    container = shim_run(words, entrypoint="/bunnies/bin/bunny-init", environment={"GREETING": "hello"})
    assert container.wait()["StatusCode"] == 0
    assert logs(container).split()[1] == "hello"
