import numpy as np
import torch
from ignite.engine import Engine

from lumbar_ext.evaluation.network.evaluation_report import NetworkReport
from lumbar_ext.metrics import ViewScorer
from lumbar_ext.networks.lumbar_packing import LUMBAR_PACK
from lumbar_ext.transforms.multitask_targets import encode_target


def test_a_run_leaves_tables_and_rows_of_every_view(tmp_path, capsys):
    centres = np.array([60.0, 40.0]) + np.arange(5)[:, None] * [0, 42]
    landmarks = centres[:, None] + np.random.default_rng(0).uniform(-15, 15, (5, 7, 2))
    target = encode_target(torch.full((256, 128), 0.5), landmarks, np.ones(5))[None]
    batches = [
        {"set_name": ["mine"], "study": ["s1"], "view": [view], "findings": ["fused; old"]} for view in ("ap", "lat")
    ]
    engine = Engine(lambda engine, batch: {"pred": target[:, : LUMBAR_PACK.channels], "label": target})
    NetworkReport(ViewScorer(0.5), tmp_path / "new", "A title.").attach(engine)
    engine.run(batches)
    tables = (tmp_path / "new" / "tables.md").read_text()
    assert tables == capsys.readouterr().out
    assert tables.startswith("A title.\n\nTable 1.") and "| mine, simulated | 1.000 / 1.000 |" in tables
    assert "| mine: old | 2 | 0.0 |" in tables
    assert len((tmp_path / "new" / "landmarks.csv").read_text().splitlines()) == 71
    assert len((tmp_path / "new" / "views.csv").read_text().splitlines()) == 3
