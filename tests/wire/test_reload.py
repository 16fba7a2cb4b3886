"""SIGHUP: what may change without a restart changes, the rest stays, and a bad file changes nothing."""
import signal

from slipway import MODELS, X

MODEL = [MODELS / "doubleit_onnx"]


def hang_up(server, expected):
    """SIGHUP, and the line that tells of its outcome; a settings' file may log in JSON by then."""
    before = server.log().count(expected)
    server.process.send_signal(signal.SIGHUP)
    server.wait_until(lambda: server.log().count(expected) > before, expected, 10)


def test_log_settings_are_reloaded(tmp_path, start):
    path = tmp_path / "server.yaml"
    path.write_text("server: {name: first}\nlog: {level: info}\n")
    server = start(MODEL, config=path)
    assert server.get("/v2/health/live").status == 200 and "request" not in server.log()
    path.write_text("server: {name: second}\nlog: {level: info, format: json}\nhttp: {access_log: true}\n")
    hang_up(server, "settings reloaded")
    assert server.infer("doubleit_onnx", [X]).status == 200
    server.wait_until(lambda: '"/v2/models/doubleit_onnx/infer"' in server.log(), "the access log", 10)
    assert server.get("/v2").json()["name"] == "first"  # needs a restart


def test_a_level_can_be_raised_and_lowered(tmp_path, start):
    path = tmp_path / "server.yaml"
    path.write_text("log: {level: info}\n")
    server = start(MODEL, config=path)
    path.write_text("log: {level: debug}\n")
    hang_up(server, "settings reloaded")
    assert server.get("/v2/logging").json()["log_verbose_level"] == 1
    path.write_text("log: {level: info}\n")
    hang_up(server, "settings reloaded")
    assert server.get("/v2/logging").json()["log_verbose_level"] == 0


def test_a_bad_file_changes_nothing(tmp_path, start):
    path = tmp_path / "server.yaml"
    path.write_text("log: {level: info}\n")
    server = start(MODEL, config=path)
    for bad in ("log: {level: loud}\n", "log: {levle: debug}\n", "log: [\n", "queue: {size_max: 0}\n"):
        path.write_text(bad)
        hang_up(server, "settings not reloaded")
        assert server.infer("doubleit_onnx", [X]).status == 200
        assert server.get("/v2/logging").json()["log_verbose_level"] == 0
    path.unlink()
    hang_up(server, "settings not reloaded")
    assert server.infer("doubleit_onnx", [X]).status == 200


def test_many_signals_under_requests(start):
    server = start(MODEL)
    for _ in range(50):
        server.process.send_signal(signal.SIGHUP)
        assert server.infer("doubleit_onnx", [X]).status == 200
