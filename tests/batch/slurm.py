"""A real SLURM on this machine: munge, a controller and two nodes, in a folder of their own, for whoever runs the tests.

It ends with the tests that use it: others count the processes that theirs leave behind.
"""

import getpass
import os
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

DAEMONS = ("munged", "slurmctld", "slurmd")
SEARCHED = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))
NODES = ("node1", "node2")
# More processors and memory than this machine may have: jobs of the documents ask for them, and nothing here uses them.
CONFIG = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
ReturnToService=2
KillWait=2
NodeName={nodes[0]} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=8 RealMemory=32768
NodeName={nodes[1]} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=8 RealMemory=32768
PartitionName=all Nodes=ALL Default=YES State=UP
"""
PATIENCE_SECONDS = 60


def free_ports(count):
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """The path of the configuration that its commands read, with all nodes idle."""
    programs = {name: shutil.which(name, path=SEARCHED) for name in DAEMONS}
    if not all(programs.values()):
        pytest.skip("needs Debian's SLURM: apt-get install slurm-wlm")
    folder = tmp_path_factory.mktemp("slurm")
    (folder / "state").mkdir()
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o600)
    config = folder / "slurm.conf"
    names = {"host": socket.gethostname(), "user": getpass.getuser(), "nodes": NODES}
    config.write_text(CONFIG.format(folder=folder, ports=free_ports(3), **names))
    environment = os.environ | {"SLURM_CONF": str(config)}
    places = {"socket": "munge.socket", "key-file": "munge.key", "log-file": "munge.log", "pid-file": "munge.pid"}
    places |= {"seed-file": "munge.seed"}
    munged = [programs["munged"], "--foreground", "--force"]
    munged += [f"--{option}={folder / name}" for option, name in places.items()]
    log = (folder / "log.txt").open("ab")
    started = []

    def start(*command):
        started.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment))

    try:
        start(*munged)
        wait_for((folder / "munge.socket").exists, started, folder)
        start(programs["slurmctld"], "-D", "-c")
        for node in NODES:
            start(programs["slurmd"], "-D", "-N", node)
        wait_for(lambda: states(environment) == {"idle"}, started, folder)
        yield config
    finally:
        subprocess.run(["scancel", "--user", getpass.getuser()], env=environment, check=False)
        for process in reversed(started):
            process.terminate()
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        log.close()


def states(environment):
    answer = subprocess.run(
        ["sinfo", "--noheader", "--Node", "--format=%T"], env=environment, capture_output=True, text=True, check=False
    )
    return set(answer.stdout.split())


def wait_for(is_there, processes, folder: Path):
    for _ in range(10 * PATIENCE_SECONDS):
        if is_there():
            return
        if any(process.poll() is not None for process in processes):
            break
        time.sleep(0.1)
    # Of this machine, not of what is tested.
    pytest.skip(f"SLURM is installed and does not start here: {(folder / 'log.txt').read_text()[-1000:]}")
