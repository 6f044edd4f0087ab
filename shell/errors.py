"""What goes wrong between a person and a cluster: one sentence each, and an exit code.

```text
0  done
1  the thing asked for failed or was refused
2  the words of the call are off
3  no lab, or no API to talk to
4  inconclusive: it may or may not have happened
```
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

DONE, FAILED, OFF, NO_API, INCONCLUSIVE = 0, 1, 2, 3, 4


class ShellError(Exception):
    """The thing asked for was not done; its text is one sentence that a person can act on."""

    exit_code: ClassVar[int] = FAILED
    code: str = "failed"


class BadWords(ShellError):
    """The words of the call are off; the sentence names which, and what would be right."""

    exit_code = OFF
    code = "bad-words"


class NoApi(ShellError):
    """Nothing that speaks hvlab's API answers there, so nothing was done."""

    exit_code = NO_API
    code = "no-api"


class Inconclusive(ShellError):
    """It may or may not have been done: look before asking again."""

    exit_code = INCONCLUSIVE
    code = "inconclusive"


class Interrupted(ShellError):
    """The person did not want to wait any longer."""

    code = "interrupted"


class Declined(ShellError):
    """The cluster did not do it and said why; `body` is all of its answer."""

    def __init__(self, status: int, code: str, sentence: str, body: Mapping[str, Any]) -> None:
        super().__init__(sentence)
        self.status, self.code, self.body = status, code, body


class BadRequest(Declined):
    """The cluster could make no sense of a word of the call; the sentence names it."""

    exit_code = OFF


def declined(status: int, code: str, sentence: str, body: Mapping[str, Any]) -> ShellError:
    """The error for an answer of the API that is not a success."""
    if status == 422:
        return BadRequest(status, code, sentence, body)
    if status >= 500 and status != 503:
        return Inconclusive(sentence)
    return Declined(status, code, sentence, body)


def as_data(error: Exception) -> dict[str, Any]:
    """The error as `--json` prints it."""
    words = re.findall("[A-Z][a-z]*", type(error).__name__)
    code = getattr(error, "code", "-".join(words).lower())
    return {"error": {"code": code, "message": str(error)}}
