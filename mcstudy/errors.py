"""The errors a user of mcstudy can meet, as a tree.

MCStudyError
├── StudyError      the study, or what one of its functions returns, is not usable
├── ChangedError    the study is no longer the one that made the stored rows
├── FitsFailedError a run was stopped, since the fits of a method are of no use
├── ResultsError    a results folder cannot be used as asked
└── TableError      a table cannot be measured or fitted as asked

Each message is one line: what, which value, what to do.
"""

from __future__ import annotations

from mcstudy.terminal import harmless_line


class MCStudyError(Exception):
    """Any error that is the user's to fix; the command line shows its one line."""

    exit_status = 2

    def __str__(self) -> str:
        return harmless_line(super().__str__())


class StudyError(MCStudyError):
    """The study, or what one of its functions returns, is not usable."""


class ChangedError(MCStudyError):
    """The study is no longer the one that made the stored rows."""


class FitsFailedError(MCStudyError):
    """A run was stopped, since the fits of a method are of no use; what is stored is whole."""

    exit_status = 3


class ResultsError(MCStudyError):
    """A results folder cannot be used as asked."""


class TableError(MCStudyError):
    """A table cannot be measured or fitted as asked."""
