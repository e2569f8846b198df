"""Threads share out tasks: all of them, in order, on several threads, and errors reach the caller."""

from threading import Barrier, get_ident

import pytest

from snn_deploy_cpu.thread_pool import ThreadPool


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("tasks", [0, 1, 2, 7, 50])
def test_results_come_in_the_order_of_tasks(threads: int, tasks: int) -> None:
    with ThreadPool(threads) as pool:
        assert pool.map(lambda task: task * task, range(tasks)) == [task * task for task in range(tasks)]


@pytest.mark.parametrize("threads", [2, 3])
def test_as_many_threads_as_were_asked_for_work_at_once(threads: int) -> None:
    """Each task waits until all threads have one; the caller's is among them."""
    together = Barrier(threads, timeout=60)

    def work(task: int) -> int:
        together.wait()
        return get_ident()

    with ThreadPool(threads) as pool:
        idents = pool.map(work, range(threads))
    assert len(set(idents)) == threads
    assert get_ident() in idents


def test_a_single_thread_is_the_callers() -> None:
    with ThreadPool(1) as pool:
        assert set(pool.map(lambda _: get_ident(), range(5))) == {get_ident()}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("bad", [0, 1, 19])
def test_an_error_in_a_task_reaches_the_caller(threads: int, bad: int) -> None:
    def work(task: int) -> int:
        if task == bad:
            raise ValueError(f"task {task} failed")
        return task

    with ThreadPool(threads) as pool:
        with pytest.raises(ValueError, match=rf"^task {bad} failed$"):
            pool.map(work, range(20))
        assert pool.map(lambda task: task, range(3)) == [0, 1, 2]
