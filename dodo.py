"""doit's view of this workspace: every model's label as a task, and the project's own chores."""

from megbuild.cli.tasks import label_tasks

DOIT_CONFIG = {"default_tasks": ["test"], "verbosity": 2}


def task_models():
    """every output of every model, by its label"""
    yield from label_tasks()


def task_test():
    """format, lint, types, layers and all tests, with the real tools"""
    return {
        "actions": [
            "ruff format --check .",
            "ruff check .",
            "mypy",
            "lint-imports",
            "pytest --numprocesses 2 --dist worksteal",
        ],
        "uptodate": [False],
    }
