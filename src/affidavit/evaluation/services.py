"""The services of a task while they run: each in a sandbox of its own, recorded like it and not judged.

They begin before the agent, in the order that they ask for, and live until the grading is over: what grades finds them
as the agent left them, and no process of the agent's. What another sandbox reaches of them is led by a proxy in its
network namespace (`affidavit.gateway.EgressProcess`), which writes each connection down.
"""

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Self

from affidavit.evaluation.entered import EnteredSandbox
from affidavit.evaluation.health import CheckRun, await_health
from affidavit.evaluation.sandbox_capture import Capture, RunningCapture
from affidavit.evaluation.service_plan import MAIN, PlannedService, ServicePlan
from affidavit.evaluation.stages import Stage, Stages
from affidavit.evidence import BundleWriter, ConnectionRow, NetworkDocument
from affidavit.gateway import OWN_ADDRESS, EgressProcess, EgressReader, EgressSettings
from affidavit.sandbox import (
    CopiedPath,
    ExecSpec,
    Limits,
    Mount,
    NetworkNamespace,
    OciSandbox,
    SandboxError,
    SandboxSpec,
    SharedFolder,
    bounded_folder,
    copy_paths,
)
from affidavit.services import Volume
from affidavit.tasks import Artifact, HealthCheck
from affidavit.verification import SERVICE

_logger = logging.getLogger(__name__)

SEEN_BY_GRADERS = "/services"
"""Where graders find files of services, each below the service's name. Nothing else is there, whatever an agent puts
into a folder of that name."""

RESOLV_CONF = "nameserver 127.0.0.1\noptions timeout:5 attempts:2\n"
_NO_PROXY = ("no_proxy", "NO_PROXY")
_LOOK_S = 0.05
_SETTLE_S = 60.0
_MOST_SAID = 300
# Nothing of it counts against the agent's time: what ends a service is the end of the grading.
_FOREVER_MS = 7 * 24 * 3_600_000


def resolver_layer(folder: Path) -> Path:
    """A layer that tells the programs of a sandbox who answers for names; `folder`: is made."""
    (folder / "etc").mkdir(parents=True, mode=0o755)
    path = folder / "etc/resolv.conf"
    path.write_text(RESOLV_CONF)
    for one in (folder, folder / "etc"):
        one.chmod(0o755)
    path.chmod(0o644)
    return folder


@dataclass
class _Running:
    """A service that has begun."""

    planned: PlannedService
    stage: Stage
    capture: RunningCapture
    sandbox: OciSandbox
    entered: EnteredSandbox
    spec: SandboxSpec
    proxy: EgressProcess
    commands: int = 0


class RunningServices:
    """The services of one trial, or of what is run beside it. A context manager: they begin with the ``with``, and are
    gone after it.

    Attributes:
        namespace: the network namespace for the agent's sandbox.
    """

    def __init__(
        self, plan: ServicePlan, stages: Stages, place: Path, main: str = "", bundle: BundleWriter | None = None
    ) -> None:
        """
        Args:
            plan: the services.
            stages: of the trial.
            place: a private folder, which does not exist.
            main: name of the agent's sandbox; empty: no agent's is joined.
            bundle: gets their records; None: nobody does.
        """
        self._plan = plan
        self._stages = stages
        self._place = place
        self._main = main
        self._stages_of: dict[str, Stage] = {}
        self._bundle = bundle
        self._stack = ExitStack()
        self._running: dict[str, _Running] = {}
        self._namespaces: dict[str, NetworkNamespace] = {}
        self._volumes: dict[str, Path] = {}
        self._joined = 0

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End what still runs. Harmless when called twice."""
        self._stack.close()

    @property
    def namespace(self) -> NetworkNamespace:
        """The network namespace of the agent's sandbox."""
        return self._namespaces[MAIN]

    # --- what others have of them ---

    def links(self, reaches: Sequence[str]) -> dict[str, NetworkNamespace]:
        """The namespaces of some services, by all names that they have."""
        return {name: self._namespaces[one] for name, one in self._plan.names_reached(reaches).items()}

    def main_links(self) -> dict[str, NetworkNamespace]:
        """Those that the agent's sandbox reaches."""
        return self.links(self._plan.main_reaches)

    @property
    def main_own(self) -> dict[str, str]:
        """The names of the agent's sandbox itself, for its name server."""
        return {name.lower(): "127.0.0.1" for name in self._plan.main_names}

    def with_volumes(self, spec: SandboxSpec) -> SandboxSpec:
        """The agent's sandbox, or one like it, with the volumes of the agent's sandbox."""
        return self._mounted(spec, self._plan.main_volumes)

    @contextmanager
    def joined(self, spec: SandboxSpec) -> Iterator[SandboxSpec]:
        """A sandbox that grades, joined to them as the agent's was, as long as the ``with`` lasts.

        Raises:
            SandboxError, GatewayError: it can't be joined.
        """
        self._joined += 1
        place = self._place / f"joined-{self._joined}"
        place.mkdir()
        links = self.main_links()
        settings = EgressSettings((), services=tuple(links))
        with ExitStack() as stack:
            if spec.network:
                # Of its way to what was kept of the web, which leads to no service.
                namespace = stack.enter_context(NetworkNamespace(low_ports=True, path=spec.network))
                env = {name: f"{spec.env[name]},{','.join(links)}" for name in _NO_PROXY if name in spec.env}
                joined = replace(spec, env={**spec.env, **env})
            else:
                namespace = stack.enter_context(NetworkNamespace(spec.name, low_ports=True))
                joined = replace(spec, network=namespace.path, network_owner=namespace.owner_path)
            stack.enter_context(EgressProcess(settings, namespace, place / "spool", links, self.main_own))
            yield self.with_volumes(replace(joined, rootfs=(resolver_layer(place / "resolver"), *spec.rootfs)))

    # --- their beginning ---

    def _begin(self) -> None:
        self._place.mkdir()
        for name in (MAIN, *(one.name for one in self._plan.services)):
            owner = self._main
            if name != MAIN:
                self._stages_of[name] = self._stages.open(f"{SERVICE}{name}")
                owner = self._stages_of[name].sandbox
            self._namespaces[name] = self._stack.enter_context(NetworkNamespace(owner, low_ports=True))
        self._make_volumes()
        for planned in self._plan.services:
            for dependency in planned.depends_on:
                self._await(self._running[dependency.service], dependency.condition, planned)
            self._start(planned)
        # As with ``docker compose up --wait``.
        for one in self._running.values():
            if one.planned.check is not None and not self._completed(one):
                self._await_health(one)
            self._see_well(one)

    def _start(self, planned: PlannedService) -> None:
        links = self.links(planned.reaches)
        place = self._place / planned.name
        place.mkdir()
        own = {name.lower(): OWN_ADDRESS for name in planned.names}
        settings = EgressSettings((), services=tuple(links))
        namespace = self._namespaces[planned.name]
        proxy = self._stack.enter_context(EgressProcess(settings, namespace, place / "spool", links, own))
        stage = self._stages_of[planned.name]
        plan, rootfs = self._plan, planned.rootfs
        limits = Limits(wall_ms=_FOREVER_MS, memory_mb=plan.memory_mb, disk_mb=plan.storage_mb, cpus=plan.cpus)
        spec = SandboxSpec(
            name=stage.sandbox,
            rootfs=(resolver_layer(place / "resolver"), *rootfs.layers),
            host_usr=rootfs.host_usr,
            argv=planned.argv,
            env=planned.env,
            cwd=planned.cwd,
            user=rootfs.user,
            scratch=planned.tmpfs,
            limits=limits,
            network=namespace.path,
            network_owner=namespace.owner_path,
            profile="container",
        )
        spec = self._mounted(spec, planned.volumes)
        events = place / "events.parquet" if self._bundle is None else self._bundle.file(f"{stage.name}/events.parquet")
        held = self._stages.hold(stage, spec, events, lambda batch: False, proxy.names)
        capture, sandbox = self._stack.enter_context(held)
        entered = EnteredSandbox(lambda batch: False)
        entered.start(capture, sandbox)
        # Where something fails, so that its record has an end before its sandbox is removed.
        self._stack.callback(_stop, capture)
        self._running[planned.name] = _Running(planned, stage, capture, sandbox, entered, spec, proxy)
        _logger.info("service %s: started", planned.name)

    def _await(self, one: _Running, condition: str, waiting: PlannedService) -> None:
        if condition == "service_healthy":
            if one.planned.check is None:
                raise SandboxError(
                    f"{waiting.place}: waits until {one.planned.name} is healthy, which has no health check; write "
                    "healthcheck there, or condition: service_started"
                )
            self._await_health(one)
        elif condition == "service_completed_successfully":
            deadline = time.monotonic() + self._plan.start_s
            while not one.sandbox.ended:
                if time.monotonic() > deadline:
                    raise SandboxError(f"{one.planned.place}: did not complete within {self._plan.start_s:g} s")
                time.sleep(_LOOK_S)
            self._see_well(one)

    def _await_health(self, one: _Running) -> None:
        assert one.planned.check is not None

        def pause(seconds: float) -> None:
            until = time.monotonic() + seconds
            while (left := until - time.monotonic()) > 0:
                self._see_alive(one)
                time.sleep(min(left, _LOOK_S))

        await_health([one.planned.check], lambda check: self._attempt(one, check), pause)

    def _attempt(self, one: _Running, check: HealthCheck) -> CheckRun:
        self._see_alive(one)
        one.commands += 1
        spec = one.spec
        command = ExecSpec(check.argv, spec.env, spec.cwd, spec.user)
        end = one.entered.run(command, one.commands, b"", check.timeout_s, judged=False).end
        return CheckRun(end.code, end.timed_out, end.stdout + b"\n" + end.stderr)

    @staticmethod
    def _completed(one: _Running) -> bool:
        return one.sandbox.ended and one.sandbox.exit().code == 0

    def _see_alive(self, one: _Running) -> None:
        if one.sandbox.ended:
            self._see_well(one)
            raise SandboxError(f"{one.planned.place}: ended before it was healthy")

    @staticmethod
    def _see_well(one: _Running) -> None:
        """Raise SandboxError where a service has ended badly before the agent begins."""
        if not one.sandbox.ended or one.sandbox.exit().code == 0:
            return
        how = one.sandbox.exit()
        status = f"exit status {how.code}" if how.code is not None else f"signal {how.signal}"
        output = one.sandbox.output()
        said = " ".join((output.stderr or output.stdout).decode("utf-8", "replace").split())[-_MOST_SAID:]
        raise SandboxError(f"{one.planned.place}: ended with {status}: {said or 'it said nothing'}")

    # --- volumes ---

    def _make_volumes(self) -> None:
        first: dict[str, tuple[Volume, PlannedService | None]] = {}
        for owner, volumes in (*((one, one.volumes) for one in self._plan.services), (None, self._plan.main_volumes)):
            for volume in volumes:
                first.setdefault(volume.name, (volume, owner))
        folders = {name: known for name, known in first.items() if known[0].source is None or known[0].source.is_dir()}
        if not folders:
            return
        disk = self._place / "volumes"
        disk.mkdir()
        megabytes = self._plan.storage_mb
        self._stack.enter_context(bounded_folder(disk, megabytes, self._stages.machine.state))
        for number, (name, (volume, owner)) in enumerate(folders.items()):
            folder = disk / f"volume-{number}"
            self._volumes[name] = folder
            if volume.source is not None:
                shutil.copytree(volume.source, folder, symlinks=True)
                continue
            # As Docker fills a new volume: with what the first one's image has there.
            if owner is not None:
                copied = self._place / f"filled-{number}"
                layers = owner.rootfs.layers
                copy_paths(layers, [CopiedPath(volume.target)], (), copied, megabytes << 20)
                found = copied / volume.target.lstrip("/")
                if found.is_dir() and not found.is_symlink():
                    shutil.move(found, folder)
                    continue
            folder.mkdir(mode=0o755)

    def _mounted(self, spec: SandboxSpec, volumes: Sequence[Volume]) -> SandboxSpec:
        shared, files = [*spec.shared], [*spec.mounts]
        for volume in volumes:
            if volume.source is not None and volume.source.is_file():
                files.append(Mount(volume.source, volume.target))
            else:
                shared.append(SharedFolder(self._volumes[volume.name], volume.target, not volume.read_only))
        return replace(spec, shared=shared, mounts=files)

    # --- what graders see of them ---

    def collect(self, asked: Sequence[Artifact], into: Path) -> None:
        """Copy files of theirs, as they are, into a layer for graders. What is not there is left out.

        Args:
            asked: the files.
            into: the layer's folder, made here; its parent exists and it does not.

        Raises:
            SandboxError: they take more than a sandbox may write, or can't be read.
        """
        top = into / SEEN_BY_GRADERS.lstrip("/")
        top.mkdir(parents=True)
        os.setxattr(top, "trusted.overlay.opaque", b"y")
        copies, most = self._place / "collected", self._plan.storage_mb << 20
        copies.mkdir()
        taken: set[tuple[str, str]] = set()
        # A folder before what is in it.
        for number, one in enumerate(sorted(asked, key=lambda one: one.path)):
            above = (str(path) for path in (PurePosixPath(one.path), *PurePosixPath(one.path).parents))
            if not taken.isdisjoint((one.service, path) for path in above):
                # It came with a folder that was copied; what is in there is not followed.
                continue
            copy = copies / str(number)
            layers, inside = self._layers_with(self._running[one.service], one.path)
            names = [inside] if inside != "/" else [f"/{path.name}" for path in layers[0].iterdir()]
            if copy_paths(layers, [CopiedPath(name, one.exclude) for name in names], (), copy, most) and inside != "/":
                _logger.info("service %s: %s is not there", one.service, one.path)
                continue
            taken.add((one.service, one.path))
            target = top / one.service / one.path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            (copy / inside.lstrip("/")).rename(target)

    def _layers_with(self, one: _Running, path: str) -> tuple[tuple[Path, ...], str]:
        """The layers in which a path of a service's sandbox lies, topmost first, and where in them."""
        for shared in sorted(one.spec.shared, key=lambda shared: len(shared.target), reverse=True):
            if f"{path}/".startswith(f"{shared.target}/"):
                return (shared.source,), path.removeprefix(shared.target) or "/"
        return (one.sandbox.layer(), *one.spec.rootfs), path

    # --- their end ---

    def finish(self, keep: Callable[[str, Capture], None]) -> None:
        """End them, and put what came of them into the bundle.

        Args:
            keep: puts what came of a sandbox into a part of the bundle.

        Raises:
            SandboxError, RecorderError, TraceError, EvidenceError, GatewayError: the machinery failed.
        """
        for one in reversed([*self._running.values()]):
            part = one.stage.name
            captured = one.capture.end(killed_here=not one.sandbox.ended)
            if not one.entered.settle(_SETTLE_S):
                raise SandboxError(f"{one.planned.place}: a health check does not end although its sandbox has ended")
            keep(part, captured)
            self._stages.ended(one.stage)
            if self._bundle is not None:
                document = _document(one.proxy.stop(), tuple(self._plan.names_reached(one.planned.reaches)))
                self._bundle.add(f"{part}/network.json", document.to_json())
        self._running.clear()
        self.close()


def _stop(capture: RunningCapture) -> None:
    with suppress(Exception):
        capture.stop()


def _document(written: EgressReader, endpoints: tuple[str, ...]) -> NetworkDocument:
    by_time = sorted(written.connections, key=lambda one: one.started_ns)
    return NetworkDocument(
        endpoints=endpoints,
        addresses={},
        names=dict(written.names),
        connections=tuple(ConnectionRow(**asdict(one)) for one in by_time),
        complete=written.complete,
    )
