"""Reading and rewriting Dockerfiles."""

import json
from pathlib import Path

import pytest

from affidavit.images import ImageError
from affidavit.images.dockerfile import BuildPlan, plan_build

PATH = Path("environment/Dockerfile")


def plan(text: str, *, network: bool = False, arguments: dict[str, str] | None = None) -> BuildPlan:
    return plan_build(
        text,
        PATH,
        lambda name, line: f"local/{name}",
        platform="linux/amd64",
        arguments=arguments or {},
        network=network,
    )


def test_bases_and_stages() -> None:
    made = plan(
        "ARG VERSION=12\n# a comment\nFROM --platform=linux/amd64 debian:${VERSION} AS Build\nRUN true\n"
        "FROM scratch\nCOPY --from=build /a /a\nCOPY --from=0 /b /b\nCOPY --from=tools:1 /c /c\n"
    )
    assert made.text.splitlines() == [
        "ARG VERSION=12",
        "FROM local/debian:12 AS Build",
        "RUN true",
        "FROM scratch",
        "COPY --from=build /a /a",
        "COPY --from=0 /b /b",
        "COPY --from=local/tools:1 /c /c",
    ]
    assert made.bases == {"debian:12": "local/debian:12", "tools:1": "local/tools:1"}
    assert [[line for line, _ in stage] for stage in made.steps] == [[3, 4], [5, 6, 7, 8]]


def test_an_argument_of_the_command_line() -> None:
    assert plan("ARG V\nFROM x:${V:-1}\n", arguments={"V": "2"}).bases == {"x:2": "local/x:2"}
    assert plan("ARG V\nFROM x:${V:-1}\n").bases == {"x:1": "local/x:1"}


def test_continued_lines() -> None:
    made = plan("FROM x\nRUN a && \\\n  # why\n\n  b \\\n  c\nRUN d\n")
    assert made.text.splitlines()[1:] == ["RUN a &&   b   c", "RUN d"]
    assert [line for line, _ in made.steps[0]] == [1, 2, 7]


def test_another_escape_character() -> None:
    made = plan("# escape=`\nFROM x\nRUN a `\n  b\\\n")
    assert made.text.splitlines() == ["# escape=`", "FROM local/x", "RUN a   b\\"]


def run_arguments(made: BuildPlan, number: int = -1) -> list[str]:
    arguments = json.loads(
        made.text.splitlines()[number].partition("[")[1] + made.text.splitlines()[number].partition("[")[2]
    )
    assert isinstance(arguments, list)
    return arguments


def test_heredoc_for_the_shell() -> None:
    made = plan("FROM x\nRUN <<EOF\necho '1'\necho $2\nEOF\nRUN true\n")
    assert run_arguments(made, 1) == ["/bin/sh", "-c", "echo '1'\necho $2\n"]
    assert [line for line, _ in made.steps[0]] == [1, 2, 6]


def test_heredoc_for_another_shell_and_with_tabs() -> None:
    made = plan('FROM x\nSHELL ["/bin/bash", "-ec"]\nRUN <<-EOF\n\ta\n\tEOF\n')
    assert run_arguments(made) == ["/bin/bash", "-ec", "a\n"]


def test_heredoc_for_a_program() -> None:
    made = plan("FROM x\nRUN --mount=type=cache,target=/c python3 <<'EOF' > /out\nprint(1)\nEOF\n")
    assert made.text.splitlines()[1].startswith("RUN --mount=type=cache,target=/c [")
    assert run_arguments(made) == ["/bin/sh", "-c", "python3 <<'EOF' > /out\nprint(1)\nEOF"]


def test_heredoc_that_is_a_script() -> None:
    arguments = run_arguments(plan("FROM x\nRUN <<EOF\n#!/usr/bin/env python3\nprint(1)\nEOF\n"))
    assert arguments[-1] == "#!/usr/bin/env python3\nprint(1)\n"


def test_heredoc_that_is_a_file() -> None:
    made = plan("FROM x\nCOPY --chmod=755 <<'a.sh' <<b /opt/\necho $1\na.sh\nfive \\$ b\nb\n")
    assert made.text.splitlines()[1] == "COPY --chmod=755 .affidavit-heredocs/0/a.sh .affidavit-heredocs/1/b /opt/"
    assert made.files == {"0/a.sh": b"echo $1\n", "1/b": b"five $ b\n"}


def test_what_looks_like_a_heredoc() -> None:
    made = plan("FROM x\nRUN cat <<<word && echo $((1<<X))\nRUN true\n")
    assert made.text.splitlines()[1:] == ["RUN cat <<<word && echo $((1<<X))", "RUN true"]


def test_link_changes_nothing() -> None:
    assert plan("FROM x\nCOPY --link a b\n").text.splitlines()[1] == "COPY a b"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"environment/Dockerfile: has no FROM"),
        ("RUN true\nFROM x\n", r":1: RUN stands before the first FROM"),
        ("FROM x\nFETCH y\n", r":2: 'FETCH' is not an instruction"),
        ("FROM\n", r":1: FROM must be FROM IMAGE"),
        ("FROM x\nFROM $Y\n", r":2: FROM \$Y comes to nothing"),
        ("FROM --platform=linux/s390x x\n", r":1: FROM wants linux/s390x"),
        ("FROM x\nRUN <<EOF\ntrue\n", r":2: the heredoc <<EOF has no line EOF"),
        ("FROM x\n\nCOPY <<EOF /x\n$HOME\nEOF\n", r":3: COPY <<EOF has variables to be filled in"),
        ("FROM x\nRUN --mount=type=secret,id=k true\n", r":2: RUN --mount=type=secret is not given here"),
        ("FROM x\nRUN --mount=type=ssh true\n", r":2: RUN --mount=type=ssh"),
        ("FROM x\nRUN --mount=type=bind,source=../..,target=/h true\n", r":2: RUN --mount takes its source from"),
        ("FROM x\nRUN --security=insecure true\n", r":2: RUN --security=insecure is not allowed"),
        ("FROM x\nRUN --network=host true\n", r":2: RUN --network=host is not allowed"),
        ("FROM x\nCOPY --from=3 a b\n", r":2: COPY takes files from '3'"),
        ("FROM x\nCOPY --parents a b\n", r":2: COPY --parents is not known"),
        ("FROM x\nADD https://example/x /x\n", r":2: ADD downloads, and builds have no network"),
        ("FROM x\nSHELL /bin/sh\n", r":2: SHELL must be a JSON array"),
        ("FROM x\nRUN\n", r":2: RUN says nothing to run"),
        ("FROM x\n" + "RUN true\n" * 1001, r"more than 1000 instructions"),
    ],
)
def test_what_cannot_be_built(text: str, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        plan(text)


def test_with_a_network() -> None:
    assert "ADD https://example/x /x" in plan("FROM x\nADD https://example/x /x\n", network=True).text
