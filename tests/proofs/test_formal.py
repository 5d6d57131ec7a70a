"""Proofs of the control blocks, and faults that they find."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofs.blocks import fifo, semaphores
from proofs.catalogue import all_proofs, first_of_each
from proofs.formal import table
from proofs.prover import Fault, Proof, prove
from pulsarray.errors import CheckFailed

PROOFS = list(all_proofs())
FAULTS = [(proof, fault) for proof in first_of_each().values() for fault in proof.faults]
QUICK = ["queue", "semaphore", "STORE", "bank ports", "errors", "registers", "LOAD", "FETCH"]


@pytest.mark.parametrize("name", QUICK)
def test_proven(name: str) -> None:
    assert prove(first_of_each()[name]) == ""


@pytest.mark.parametrize("name", QUICK)
def test_first_fault_is_found(name: str) -> None:
    proof = first_of_each()[name]
    assert "ssert failed" in prove(proof, proof.with_fault(proof.faults[0]))


@pytest.mark.slow
@pytest.mark.parametrize("proof", PROOFS, ids=lambda proof: f"{proof.name}-{proof.variant}")
def test_all_proven(proof: Proof) -> None:
    assert prove(proof) == ""


@pytest.mark.slow
@pytest.mark.parametrize(("proof", "fault"), FAULTS, ids=lambda x: getattr(x, "what", ""))
def test_all_faults_are_found(proof: Proof, fault: Fault) -> None:
    assert "ssert failed" in prove(proof, proof.with_fault(fault))


def test_fault_without_a_place() -> None:
    proof = fifo.proof(7, 3)
    with pytest.raises(CheckFailed, match="the place of 'nothing' is there 0 times"):
        proof.with_fault(Fault("nothing", "no such text", ""))


def test_probe_of_nothing() -> None:
    proof = semaphores.joined_proof(2)
    wrong = Proof(
        "x", "", "", proof.component, "wire a; always @* assert (a);", {"a": "semaphore0.none"}
    )
    with pytest.raises(CheckFailed):
        prove(wrong)


def test_cover_that_is_not_reached() -> None:
    proof = fifo.proof(7, 3)
    text = proof.properties + "always @* cover (level == 4 && !push);\n"
    wrong = Proof("queue", "", "", proof.component, text, cover_depth=6)
    assert prove(wrong).startswith("not reached: ")


def test_table() -> None:
    page = Path(__file__).parents[2] / "docs" / "verification.md"
    assert table() in page.read_text(encoding="utf-8")
