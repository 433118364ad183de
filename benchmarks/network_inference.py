"""Ways of running the network on one pair of crops (both views), each in a process of its own.

    python benchmarks/network_inference.py [--threads 2] [--repeats 9] [--weights FILE] [--first_generation true]

Prints, for each way: median wall time of a pair, CPU time of a pair (all threads; on a busy machine the one to trust), the
ratio of the CPU times, the peak memory of the process, and the largest difference from the first way's output. The last row
is what a reconstruction waits for: the films of the embedded sample, located and looked at as often as it takes; in it
the ratio is also that to a pair of crops, and there is no output to compare.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
BUNDLE = ROOT / "bundles" / "lumbar_multitask"
SAMPLE = ROOT / "bundles" / "lumbar_reconstruction" / "sample"
LOCATED = "locate + look"
WAYS = ("eager", "channels_last", "torchscript", "onnxruntime", "bf16", "one_batch", LOCATED)
_MIB = 1024


def images(first_generation: bool) -> list[np.ndarray]:
    """Two float32 images [1, 1, 384, 256], or [1, 1, 512, 512] for the first generation; the same in every process."""
    rng = np.random.default_rng(0)
    size_px = (512, 512) if first_generation else (384, 256)  # not imported: torch's memory would count
    return [rng.uniform(-0.5, 1.5, (1, 1, *size_px)).astype(np.float32) for _ in range(2)]


def runner(way: str, weights: str, threads: int, first_generation: bool) -> Callable[[list[np.ndarray]], np.ndarray]:
    """A function from the pair of images to their packed outputs."""
    if way == "onnxruntime":
        return _onnx_runner(weights, threads, first_generation)
    if way == LOCATED:
        return _located_runner(weights, threads)
    import torch

    from lumbar_ext.workflow.network_bundle import load_bundle_network, load_first_generation

    torch.set_num_threads(threads)
    network = (load_first_generation if first_generation else load_bundle_network)(BUNDLE, weights)
    layout = torch.channels_last if way in ("channels_last", "bf16", "one_batch") else torch.contiguous_format
    network = network.to(memory_format=layout)
    if way == "torchscript":
        network = torch.jit.optimize_for_inference(torch.jit.script(network))

    @torch.inference_mode()
    def run(pair: list[np.ndarray]) -> np.ndarray:
        tensors = [torch.from_numpy(image).contiguous(memory_format=layout) for image in pair]
        batches = [torch.cat(tensors)] if way == "one_batch" else tensors
        with torch.autocast("cpu", torch.bfloat16, enabled=way == "bf16"):
            return torch.cat([network(batch).float() for batch in batches]).numpy()

    return run


def _located_runner(weights: str, threads: int) -> Callable[[list[np.ndarray]], np.ndarray]:
    """Whole films in place of the pair that is given; answers nothing that could be compared."""
    import torch

    from lumbar_ext.studies.biplanar_study import read_study
    from lumbar_ext.workflow.locate_and_look import observe_located
    from lumbar_ext.workflow.network_bundle import load_locating_networks

    torch.set_num_threads(threads)
    network, locator = load_locating_networks(BUNDLE, weights)
    films = read_study(*(str(SAMPLE / name) for name in ("ap.png", "lat.png", "calibration.json")))

    def run(_: list[np.ndarray]) -> np.ndarray:
        observe_located(network, locator, films)
        return np.full(1, np.nan)

    return run


def _onnx_runner(weights: str, threads: int, first_generation: bool) -> Callable[[list[np.ndarray]], np.ndarray]:
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        # exported elsewhere, so that torch's memory does not count here
        code = (
            "import sys; from lumbar_ext.training.onnx_export import export; "
            "export(sys.argv[1], sys.argv[2], sys.argv[3], first_generation=sys.argv[4] == 'True')"
        )
        command = [sys.executable, "-c", code, str(BUNDLE), str(path), weights, str(first_generation)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda pair: np.concatenate([session.run(None, {"image": image})[0] for image in pair])


def measure(way: str, weights: str, threads: int, repeats: int, output: str, first_generation: bool) -> None:
    """Runs one way and prints its figures as JSON; writes the outputs to `output`."""
    warnings.simplefilter("ignore")
    run, pair = runner(way, weights, threads, first_generation), images(first_generation)
    found = run(pair)
    run(pair)
    wall, cpu = [], []
    for _ in range(repeats):
        started, worked = time.perf_counter(), time.process_time()
        run(pair)
        wall.append(time.perf_counter() - started)
        cpu.append(time.process_time() - worked)
    np.save(output, found)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MIB
    print(json.dumps({"wall_s": float(np.median(wall)), "cpu_s": float(np.median(cpu)), "peak_mib": peak}))


def compare(threads: int = 2, repeats: int = 9, weights: str = "", first_generation: bool = False) -> None:
    """Measures every way that this environment has and prints the table."""
    print("| | wall, s a pair | CPU, s a pair | CPU ratio | peak memory, MiB | largest difference |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        reference, first = None, None
        for way in WAYS[:-1] if first_generation else WAYS:
            output = str(Path(folder) / f"{way}.npy")
            arguments = [way, weights, threads, repeats, output, first_generation]
            command = [sys.executable, __file__, "measure", *map(str, arguments)]
            # threads that spin while they wait would count as work, and starve on a busy machine
            quiet = os.environ | {"OMP_WAIT_POLICY": "passive", "PYTHONPATH": str(ROOT)}
            done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=quiet)
            if done.returncode:
                print(f"| {way} | not available: {(done.stderr.strip().splitlines() or ['?'])[-1]} | | | | |")
                continue
            row, found = json.loads(done.stdout.strip().splitlines()[-1]), np.load(output)
            reference, first = (found, row) if reference is None else (reference, first)
            difference = "" if way == LOCATED else f"{np.abs(found - reference).max():.1e}"
            ratio = row["cpu_s"] / first["cpu_s"]
            figures = f"{row['wall_s']:.2f} | {row['cpu_s']:.2f} | {ratio:.2f} | {row['peak_mib']:.0f}"
            print(f"| {way} | {figures} | {difference} |", flush=True)


if __name__ == "__main__":
    import fire

    if sys.argv[1:2] == ["measure"]:
        fire.Fire({"measure": measure})
    else:
        fire.Fire(compare)
