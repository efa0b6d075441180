"""A small server for looking at the site."""

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bookpress.project import PressError


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        return None

    def end_headers(self) -> None:
        # The next build must show at once.
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def send_error(self, code, message=None, explain=None) -> None:
        """A page that is not there is answered as the published site answers it: with 404.html."""
        page = Path(self.directory, "404.html")
        if code != 404 or not page.is_file():
            return super().send_error(code, message, explain)
        self.send_response(code)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.read_bytes())
        return None


def server_of(html: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server of this folder on 127.0.0.1, not yet started; port 0 takes a free one."""
    return ThreadingHTTPServer(("127.0.0.1", port), partial(_Quiet, directory=str(html)))


def serve_site(html: Path, port: int) -> None:
    """Serve a folder on 127.0.0.1 until interrupted; prints the address."""
    if not (html / "index.html").is_file():
        raise PressError("there is no site yet: run `make book` first")
    try:
        server = server_of(html, port)
    except OSError as error:
        raise PressError(f"port {port} cannot be used: {error.strerror}; give another with PORT=") from None
    print(f"http://127.0.0.1:{server.server_address[1]}/", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()
