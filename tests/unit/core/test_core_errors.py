"""Errors: one tree, an exit code each, and the form of a configuration's message."""

import pytest

from nearfar.core import errors


def test_each_error_has_the_exit_code_of_its_cause() -> None:
    codes = {
        name: kind.exit_code
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, Exception)
    }
    assert codes == {
        "NearfarError": 1,
        "UserError": 2,
        "ConfigError": 2,
        "DataError": 2,
        "RunError": 2,
        "TrainingStoppedError": 3,
        "DivergedError": 3,
        "OwnMethodError": 1,
        "NotFiniteError": 1,
        "NothingToCompareError": 1,
    }


def test_every_error_of_the_users_is_a_user_error_and_stopped_training_is_none() -> None:
    for kind in (errors.ConfigError, errors.DataError, errors.RunError):
        assert issubclass(kind, errors.UserError)
    assert not issubclass(errors.TrainingStoppedError, errors.UserError)
    assert issubclass(errors.TrainingStoppedError, errors.NearfarError)


def test_the_docstring_draws_the_whole_tree() -> None:
    kinds = [
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ]
    assert len(kinds) == 10
    assert all(name in errors.__doc__ for name in kinds)


@pytest.mark.parametrize(
    ("problems", "message"),
    [
        (["a.b: is missing"], "run.toml: 1 problem\n  a.b: is missing"),
        (
            ["a.b: is missing", "c: unknown section"],
            "run.toml: 2 problems\n  a.b: is missing\n  c: unknown section",
        ),
    ],
)
def test_a_config_error_counts_its_problems_and_lists_one_a_line(
    problems: list[str], message: str
) -> None:
    error = errors.ConfigError(problems, "run.toml")
    assert str(error) == message
    assert error.problems == tuple(problems)
