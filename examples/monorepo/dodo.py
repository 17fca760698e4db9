"""doit's own commands (list, info, clean, run) on the labels of this workspace."""

from megbuild.cli.tasks import label_tasks


def task_models():
    """every output of every model, by its label"""
    yield from label_tasks()
