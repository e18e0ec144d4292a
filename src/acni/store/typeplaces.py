"""The places of a plugin's type, which all runtimes on a state directory share: bytes, of which
whoever runs such a plugin holds one.

Rule 1: nothing here waits. Who finds none asks again, and meanwhile stands in line between the
    runtimes, each of which stands there once, whatever of its runs is meant.
Rule 2: what undoes stands in no line. It puts up a sign, and as long as that is there nobody takes
    a place who does not undo: one that only asks again and again would be passed for ever.
Rule 3: who could not use a place now leaves the line, or those behind would wait for nothing.
"""

from __future__ import annotations

from attrs import define, field

from acni.host.locks import Place, byte_of, is_held, place_of, try_lock
from acni.host.turnstile import Line, is_line_empty
from acni.store.lockfiles import (
    OPENINGS,
    Description,
    LockFiles,
    cannot_be_locked,
    keeps_changing,
)


@define(eq=False, repr=False)
class TypePlaces:
    """The places of one type, for one runtime.

    Attributes:
        number: How many there are for all.
    """

    _files: LockFiles
    _plugin_type: str
    number: int
    _where: Place = field(init=False)
    _bytes: tuple[int, ...] = field(init=False)
    # What this runtime holds: of which place, by which description.
    _held: dict[int, Description] = field(factory=dict[int, Description], init=False)
    _line: tuple[Description, Line] | None = field(default=None, init=False)
    _sign: Description | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._where = place_of("plugin type", self._plugin_type)
        places = (f"{self._plugin_type} {index}" for index in range(self.number))
        self._bytes = tuple(byte_of("plugin type", place) for place in places)

    @property
    def are_all_ours(self) -> bool:
        """Whether no other runtime has one that it could give back."""
        return len(self._held) >= self.number

    def try_take(self, *, goes_first: bool) -> int | None:
        """Take a place; where there is none, stand in line from now on, or put up the sign.

        Args:
            goes_first: For what undoes.

        Returns:
            Its number, or None.

        Raises:
            StoreError: it cannot be locked.
        """
        if self.are_all_ours:
            return None
        for _ in range(OPENINGS):
            description = self._files.use(self._where.file)
            index: int | None = None
            try:
                index = self._try_in(description, goes_first=goes_first)
            except OSError as error:
                raise cannot_be_locked(self._where.file, error) from error
            finally:
                if index is None:
                    self._files.leave(description)
            if index is None:
                return None
            if self._files.keeps(description, self._bytes[index]):
                self._held[index] = description
                return index
        raise keeps_changing(self._where.file)

    def give_back(self, index: int) -> None:
        """Give a place back."""
        self._files.let_go(self._held.pop(index), self._bytes[index])

    def leave_line(self) -> None:
        """Stand in line no longer."""
        if self._line is not None:
            (description, line), self._line = self._line, None
            line.leave()
            self._files.leave(description)

    def take_sign_down(self) -> None:
        """Let others than those who undo take places again."""
        if self._sign is not None:
            description, self._sign = self._sign, None
            self._files.let_go(description, self._where.sign)

    def _try_in(self, description: Description, *, goes_first: bool) -> int | None:
        if goes_first:
            index = self._try_each(description)
            if index is None:
                self._put_sign_up(description)
            return index
        index = self._try_each(description) if self._is_our_turn(description) else None
        if index is None:
            self._stand_in(description)
        else:
            self.leave_line()  # whoever of us comes next stands behind those who are there
        return index

    def _is_our_turn(self, description: Description) -> bool:
        if is_held(description.fd, self._where.sign):
            return False
        if self._line is None:
            return is_line_empty(description.fd, self._where.stages)
        return self._stand_in(description)

    def _stand_in(self, description: Description) -> bool:
        """Stand in line, as far in front as there is room; tell whether nobody is before us."""
        if self._line is None or self._line[0] is not description:
            self.leave_line()
            line = Line(description.fd, self._where.stages)
            self._line = self._files.use(description.name), line
        return self._line[1].advance()

    def _put_sign_up(self, description: Description) -> None:
        if self._sign is not description:
            self.take_sign_down()
            if try_lock(description.fd, self._where.sign, shared=True):
                self._sign = self._files.use(description.name)

    def _try_each(self, description: Description) -> int | None:
        for index, byte in enumerate(self._bytes):
            if index not in self._held and try_lock(description.fd, byte):
                return index
        return None
