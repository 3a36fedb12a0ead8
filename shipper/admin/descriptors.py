"""Descriptors that are the admin server's alone: a probe is answered while files and connections
elsewhere have taken all others.

Each descriptor that is not a connection is a placeholder (a duplicate of /dev/null). A connection
takes the number of one, and the number is a placeholder again in the moment in which the connection
is closed (dup2), so no other thread gets it.
"""

import errno
import os
import socket

#: The process, or the machine, has no descriptor left.
NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)


class DescriptorReserve:
    """So many descriptors, as placeholders or as connections."""

    def __init__(self, size: int) -> None:
        """Takes as many of `size` as there are now; others are taken later."""
        self._size = size
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._placeholders: list[int] = []
        self._lent = 0
        self.refill()

    def __len__(self) -> int:
        """Placeholders."""
        return len(self._placeholders)

    def refill(self) -> None:
        """Takes what is missing, if there are descriptors."""
        while len(self._placeholders) + self._lent < self._size:
            try:
                self._placeholders.append(os.dup(self._null))
            except OSError:
                return  # Tried again when the next connection comes.

    def accept(self, listener: socket.socket) -> "Connection":
        """The next connection, which does not block.

        Raises:
            OSError: there is none (BlockingIOError), or no descriptor for it.
        """
        self.refill()
        try:
            accepted, _ = listener.accept()
            descriptor = self._move(accepted.detach())
        except OSError as error:
            if error.errno not in NO_DESCRIPTOR or not self._placeholders:
                raise
            os.close(self._placeholders.pop())
            try:
                accepted, _ = listener.accept()
            except OSError:
                self.refill()
                raise
            descriptor = accepted.detach()
        self._lent += 1
        os.set_blocking(descriptor, False)
        return Connection(self, descriptor)

    def take_back(self, descriptor: int) -> None:
        """Closes a connection; its number is a placeholder from now on."""
        self._lent -= 1
        try:
            os.dup2(self._null, descriptor, inheritable=False)
        except OSError:  # Somebody has set a limit below its number.
            os.close(descriptor)
            self.refill()
        else:
            self._placeholders.append(descriptor)

    def _move(self, descriptor: int) -> int:
        """Gives a connection the number of a placeholder, so that no other becomes free."""
        if not self._placeholders:
            return descriptor
        try:
            os.dup2(descriptor, self._placeholders[-1], inheritable=False)
        except OSError:  # As above.
            os.close(self._placeholders.pop())
            return descriptor
        os.close(descriptor)
        return self._placeholders.pop()

    def close(self) -> None:
        """Gives the placeholders back to all."""
        for descriptor in self._placeholders:
            os.close(descriptor)
        self._placeholders.clear()
        self._size = 0
        os.close(self._null)
        self._null = -1

    @property
    def is_closed(self) -> bool:
        return self._null < 0


class Connection(socket.socket):
    """A connection whose descriptor goes back to the reserve when it is closed."""

    def __init__(self, reserve: DescriptorReserve, descriptor: int) -> None:
        super().__init__(fileno=descriptor)
        self._reserve = reserve

    def close(self) -> None:
        """Closes it, once."""
        if self.fileno() < 0:
            return
        if self._reserve.is_closed:
            super().close()
        else:
            self._reserve.take_back(self.detach())
