"""Compose files: what is read of them, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.services import Build, ComposeError, ComposeFile, Dependency, Volume, read_compose

Read = Callable[..., ComposeFile]

WHOLE = """
# As merged over Harbor's own file, which has the main service.
x-common: &common
  environment: {MODE: test}
services:
  main:
    image: ${MAIN_IMAGE_NAME}
    command: ["sh", "-c", "sleep infinity"]
    network_mode: ${NETWORK_MODE}
    environment:
      - URL=http://api:${PORT:-8080}
      - PRICE=5$$
    volumes:
      - log:/srv/log:ro
      - ${HOST_VERIFIER_LOGS_PATH}:${ENV_VERIFIER_LOGS_PATH}
    depends_on:
      api: {condition: service_healthy}
  api:
    <<: *common
    build: {context: ., dockerfile: api/Dockerfile, args: {LEVEL: 3}}
    depends_on: [db]
    expose: [8080]
    ports: ["9090:8080"]
    user: "33:50"
    working_dir: /srv
    volumes:
      - log:/var/log
      - ./api/data:/data
      - {type: bind, source: ./api/api.conf, target: /etc/api.conf, read_only: true}
    healthcheck: {test: curl -f http://localhost, interval: 1m30s, timeout: 500ms, retries: 5, start_period: 2s}
    tmpfs: /cache
    restart: always
  db:
    image: example.com/db:1
    command: serve --dir '/my data'
    hostname: database
    healthcheck: {disable: true}
    networks: {back: {aliases: [store]}, default: }
networks: {back: {internal: true}}
volumes: {log: }
"""


@pytest.fixture
def read(tmp_path: Path) -> Read:
    (tmp_path / "api/data").mkdir(parents=True)
    (tmp_path / "api/api.conf").touch()

    def read(text: str, **variables: str) -> ComposeFile:
        (tmp_path / "docker-compose.yaml").write_text(text)
        return read_compose(tmp_path / "docker-compose.yaml", variables)

    return read


def test_what_is_read(read: Read, tmp_path: Path) -> None:
    found = read(WHOLE, PORT="81")
    assert [service.name for service in found.services] == ["db", "api"]
    db, api = found.services
    main = found.main
    assert (main.image, main.build, main.command) == (None, None, None)
    assert main.environment == {"URL": "http://api:81", "PRICE": "5$"}
    assert main.volumes == (Volume("log", "/srv/log", read_only=True),)
    assert main.depends_on == (Dependency("api", "service_healthy"),)
    assert api.build == Build(tmp_path, "api/Dockerfile", {"LEVEL": "3"})
    assert api.environment == {"MODE": "test"}
    assert (api.user, api.workdir, api.tmpfs) == ("33:50", "/srv", ("/cache",))
    assert api.volumes == (
        Volume("log", "/var/log"),
        Volume("./api/data", "/data", False, tmp_path / "api/data"),
        Volume("./api/api.conf", "/etc/api.conf", True, tmp_path / "api/api.conf"),
    )
    assert api.health == {
        "Test": ["CMD-SHELL", "curl -f http://localhost"],
        "Interval": 90 * 10**9,
        "Timeout": 5 * 10**8,
        "StartPeriod": 2 * 10**9,
        "Retries": 5,
    }
    assert (db.image, db.command, db.health) == (
        "example.com/db:1",
        ("serve", "--dir", "/my data"),
        {"Test": ["NONE"]},
    )
    assert set(db.aliases) == {"store", "database"}
    assert db.reaches(api)
    (warning,) = found.warnings
    assert (
        warning
        == "docker-compose.yaml:32:5: services.api.restart: has no effect: a service that ends is not started again"
    )


def test_networks_keep_services_apart(read: Read) -> None:
    found = read("services: {a: {image: i, networks: [x]}, b: {image: i}}\nnetworks: {x: }\n")
    a, b = found.services
    assert not a.reaches(b)
    assert not a.reaches(found.main)
    assert b.reaches(found.main)


@pytest.mark.parametrize(
    ("service", "message"),
    [
        ("{}", ":1:12: services.a: needs an image, a build or x-affidavit-rootfs: host"),
        ("{x-affidavit-rootfs: 'oci:x'}", "services.a.x-affidavit-rootfs: must be host; for anything else, name an im"),
        ("{image: i, privileged: true}", ":1:26: services.a.privileged: is refused: a sandbox has no privileges"),
        ("{image: i, cap_add: [NET_ADMIN]}", "cap_add: a sandbox has Docker's default capabilities and no more"),
        ("{image: i, network_mode: host}", "network_mode: is not supported; services reach each other by their names"),
        ("{image: i, volumes: ['/var/run/docker.sock:/s']}", "leads out of it"),
        (
            "{image: i, volumes: ['../tests:/t']}",
            "volumes[0]: must be in the task's environment/, and '../tests' leads",
        ),
        (
            "{image: i, volumes: ['./link/x:/t']}",
            "volumes[0]: must be in the task's environment/, and './link/x' leads",
        ),
        ("{image: i, volumes: ['./gone:/t']}", "names ./gone, which is not there"),
        ("{image: i, volumes: ['./api/api.conf:/t']}", "a service can only read it; write SOURCE:TARGET:ro"),
        ("{image: i, volumes: ['data:/t']}", "names the volume 'data', which is not among the file's volumes"),
        ("{build: https://example.com/x.git}", "build: must be in the task's environment/"),
        ("{build: {context: ., target: x}}", "build.target: is not supported; put it into the Dockerfile"),
        ("{build: {context: api, dockerfile: ../Dockerfile}}", "build.dockerfile: must be a file in the context"),
        ("{build: {context: api, dockerfile: ../../x}}", "build.dockerfile: must be in the task's environment/"),
        ("{image: i, depends_on: [b]}", "depends_on: names 'b', and there is no such service"),
        ("{image: i, depends_on: [a]}", "depends_on: is a circle"),
        ("{image: i, depends_on: [main]}", "names main, which begins when all others are there"),
        ("{image: i, depends_on: {a: {condition: ready}}}", "condition: must be one of service_started"),
        ("{image: i, extra_hosts: ['x:10.0.0.1']}", "extra_hosts: can't be honoured: hosts are reached by name only"),
        ("{image: i, healthcheck: {test: x, interval: soon}}", "interval: must be a time such as 1m30s, not 'soon'"),
        ("{image: i, user: '${WHO:?set it}'}", "user: demands this machine's WHO, which a sandbox never gets"),
        ("{image: i, comand: x}", ":1:26: services.a.comand: is not known here; remove it"),
        ("{image: i, container_name: main}", "bears a name of main too: main"),
    ],
)
def test_what_is_refused(read: Read, tmp_path: Path, service: str, message: str) -> None:
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(ComposeError) as raised:
        read(f"services: {{a: {service}}}\n")
    assert message in str(raised.value)
    assert str(raised.value).startswith(str(tmp_path / "docker-compose.yaml"))
    assert "\n" not in str(raised.value)


def test_a_service_on_the_machines_own_usr(read: Read) -> None:
    # The image is for those who don't know the key.
    (service,) = read("services: {a: {image: i, x-affidavit-rootfs: host, command: c}}\n").services
    assert (service.on_host, service.image, service.command) == (True, None, ("c",))
    with pytest.raises(ComposeError, match=r"services\.main\.x-affidavit-rootfs: of main is set by rootfs"):
        read("services: {main: {x-affidavit-rootfs: host}}\n")


def test_tests_that_main_mounts_are_left_to_the_verifier(read: Read) -> None:
    found = read("services: {main: {volumes: ['${CONTEXT_DIR}/../tests:/tests']}}\n")
    assert found.main.volumes == ()
    assert found.warnings[0].endswith("has no effect: the tests are there when they run, and no agent sees them")


def test_a_command_of_main_that_does_something(read: Read) -> None:
    with pytest.raises(ComposeError, match=r"services\.main\.command: of main would run beside the agent"):
        read("services: {main: {command: python server.py}}\n")


KEYS = ["image", "build", "command", "environment", "volumes", "depends_on", "healthcheck", "networks", "user", "<<"]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["a", "./api", "${X}", "x:/y:ro"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*KEYS, "a", "test", "context", "source", "condition"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "main"]), st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4)))
def test_whatever_is_written_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, services: object) -> None:
    path = tmp_path_factory.getbasetemp() / "docker-compose.yaml"
    path.write_text(json.dumps({"services": services}))
    refused = ""
    try:
        read_compose(path)
    except ComposeError as error:
        refused = str(error)
    assert not refused or refused.startswith(str(path))
