"""Finding, reading, sampling and downloading MNIST."""

import gzip
import hashlib
import os
import struct
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import tuitrain
from tuitrain.engine import mnist, sample
from tuitrain.engine.sample import maker
from tuitrain.errors import UserError

PACKAGE = Path(tuitrain.__file__).parent


def real_data() -> Path | None:
    """The directory of the real files, where this machine has them."""
    named = os.environ.get(mnist.DATA_VARIABLE)
    for directory in (Path(named) if named else None, Path(__file__).parents[3] / "shared" / "data"):
        if directory is not None and (directory / mnist.RAW / mnist.FILES[0]).is_file():
            return directory
    return None


REAL_DATA = real_data()
needs_real_data = pytest.mark.skipif(
    REAL_DATA is None, reason=f"real MNIST is not here: name its directory in ${mnist.DATA_VARIABLE}"
)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache, and no directory named by the environment."""
    monkeypatch.delenv(mnist.DATA_VARIABLE, raising=False)
    monkeypatch.setattr(mnist, "cache_dir", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def idx(array: NDArray[np.uint8]) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def small_files() -> dict[str, bytes]:
    """The four files, holding 200 + 20 images."""
    random = np.random.RandomState(0)
    images = random.randint(0, 256, (220, 28, 28)).astype(np.uint8)
    labels = (np.arange(220) % 10).astype(np.uint8)
    return dict(zip(mnist.FILES, map(idx, (images[:200], labels[:200], images[200:], labels[200:])), strict=True))


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def packed(files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in files.items()}


def check_small(digits: mnist.Digits) -> None:
    files = small_files()
    assert digits.train_images.shape == (200, 1, 28, 28)
    assert digits.val_images.shape == (20, 1, 28, 28)
    assert digits.train_images.dtype == digits.val_images.dtype == torch.uint8
    assert digits.train_labels.dtype == digits.val_labels.dtype == torch.int64
    assert digits.train_images.numpy().tobytes() == files[mnist.FILES[0]][16:]
    assert bytes(digits.train_labels.tolist()) == files[mnist.FILES[1]][8:]
    assert digits.val_images.numpy().tobytes() == files[mnist.FILES[2]][16:]
    assert bytes(digits.val_labels.tolist()) == files[mnist.FILES[3]][8:]


class TestFinding:
    def test_a_named_directory_comes_before_the_variable_and_the_cache(
        self, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert mnist.find(None) is None
        in_cache = write(cache / mnist.RAW, small_files())
        assert mnist.find(None) == in_cache
        in_variable = write(tmp_path / "variable" / mnist.RAW, small_files())
        monkeypatch.setenv(mnist.DATA_VARIABLE, str(tmp_path / "variable"))
        assert mnist.find(None) == in_variable
        named = write(tmp_path / "named" / mnist.RAW, small_files())
        assert mnist.find(tmp_path / "named") == named

    def test_the_folder_of_the_files_itself_may_be_named(self, tmp_path: Path) -> None:
        assert mnist.find(write(tmp_path, small_files())) == tmp_path

    def test_an_empty_variable_names_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(mnist.DATA_VARIABLE, "")
        assert mnist.find(None) is None

    @pytest.mark.parametrize("by_variable", [False, True])
    def test_a_named_directory_without_the_files_is_an_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_variable: bool
    ) -> None:
        files = small_files()
        del files["t10k-labels-idx1-ubyte"]
        write(tmp_path / mnist.RAW, files)
        if by_variable:
            monkeypatch.setenv(mnist.DATA_VARIABLE, str(tmp_path))
        with pytest.raises(UserError) as caught:
            mnist.load(None if by_variable else tmp_path)
        name = "$TUITRAIN_DATA" if by_variable else "--data-dir"
        raw = tmp_path / mnist.RAW
        assert str(caught.value).startswith(
            f"{name} {tmp_path} has no MNIST: {raw} lacks t10k-labels-idx1-ubyte (plain or .gz);"
        )
        assert "add --full" in str(caught.value)

    def test_the_cache_is_in_the_users_cache_directory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.undo()
        assert mnist.cache_dir().name == "data"
        assert "tuitrain" in mnist.cache_dir().parts


class TestReading:
    @pytest.mark.parametrize("pack", [dict, packed])
    def test_files_become_tensors(self, tmp_path: Path, pack: type) -> None:
        folder = write(tmp_path / mnist.RAW, pack(small_files()))
        digits = mnist.load(tmp_path)
        check_small(digits)
        assert digits.origin == f"MNIST, 200 + 20 images from {folder}"

    @pytest.mark.parametrize(
        ("name", "content", "complaint"),
        [
            (
                0,
                idx(np.zeros((40, 28, 28), np.uint8))[:-1],
                "has 31,375 bytes where its header promises 31,376",
            ),
            (
                0,
                idx(np.zeros((40, 28, 28), np.uint8)) + b"x",
                "has 31,377 bytes where its header promises 31,376",
            ),
            (2, b"", "ends after 0 bytes, within its header"),
            (2, idx(np.zeros((20, 28, 28), np.uint8))[:15], "ends after 15 bytes, within its header"),
            (2, b"<!DOCTYPE html><html></html>", "begins with 0x3c21444f, not with 0x00000803"),
            (0, idx(np.zeros((40, 32, 32), np.uint8)), "images of shape [40, 32, 32], not [N, 28, 28]"),
            (0, idx(np.zeros((0, 28, 28), np.uint8)), "images of shape [0, 28, 28], not [N, 28, 28]"),
            (1, idx(np.zeros(39, np.uint8)), "39 labels for 200 images"),
            (3, idx(np.full(20, 10, np.uint8)), "the label 10, above 9"),
        ],
    )
    def test_a_damaged_file_is_named_with_what_is_wrong(
        self, tmp_path: Path, name: int, content: bytes, complaint: str
    ) -> None:
        file = mnist.FILES[name]
        folder = write(tmp_path / mnist.RAW, small_files() | {file: content})
        with pytest.raises(UserError) as caught:
            mnist.load(tmp_path)
        assert str(caught.value).startswith(f"{folder / file} is damaged: it ")
        assert complaint in str(caught.value)
        assert "delete it and add --full" in str(caught.value)

    @pytest.mark.parametrize("damage", ["cut", "flipped", "not gzip"])
    def test_a_damaged_gzip_file_is_named(self, tmp_path: Path, damage: str) -> None:
        files = packed(small_files())
        file = "train-images-idx3-ubyte.gz"
        whole = files[file]
        middle = len(whole) // 2
        files[file] = {
            "cut": whole[:middle],
            "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            "not gzip": b"no gzip at all",
        }[damage]
        folder = write(tmp_path / mnist.RAW, files)
        with pytest.raises(UserError) as caught:
            mnist.load(tmp_path)
        assert str(caught.value).startswith(f"{folder / file} is damaged: it does not unpack: ")

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"train-images-idx3-ubyte is missing; put it back"):
            mnist.read_folder(tmp_path)

    def test_an_unreadable_file_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(path: Path, dtype: type) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        folder = write(tmp_path / mnist.RAW, small_files())
        monkeypatch.setattr(np, "fromfile", refuse)
        with pytest.raises(UserError) as caught:
            mnist.load(tmp_path)
        assert str(caught.value) == (
            f"{folder / mnist.FILES[0]} cannot be read (Permission denied); check its permissions."
        )

    @needs_real_data
    def test_the_real_files(self) -> None:
        digits = mnist.load(REAL_DATA)
        assert digits.train_images.shape == (60_000, 1, 28, 28)
        assert digits.val_labels.bincount().tolist() == [
            980,
            1135,
            1032,
            1010,
            982,
            892,
            958,
            1028,
            974,
            1009,
        ]
        assert digits.train_images.double().mean().item() / 255 == pytest.approx(0.13066, abs=1e-5)


class TestSample:
    def test_has_each_digit_in_the_proportion_of_mnist(self) -> None:
        digits = mnist.load()
        assert digits.origin == "embedded sample of MNIST, 10,000 + 2,000 images"
        assert digits.train_images.shape == (10_000, 1, 28, 28)
        assert digits.val_images.shape == (2_000, 1, 28, 28)
        of_60_000 = torch.tensor([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949])
        for labels in (digits.train_labels, digits.val_labels):
            expected = of_60_000 * len(labels) / 60_000
            assert (labels.bincount() - expected).abs().max() < 1

    def test_is_small_and_says_where_it_comes_from(self) -> None:
        folder = Path(sample.__file__).parent
        assert (folder / sample.FILE_NAME).stat().st_size <= 3_000_000
        origin = (folder / "ORIGIN.txt").read_text(encoding="utf-8")
        for fact in ("LeCun", "Cortes", "Burges", "NIST", "CC BY-SA 3.0"):
            assert fact in origin

    def test_loads_from_a_package_that_is_no_directory(self, tmp_path: Path) -> None:
        archive = tmp_path / "tuitrain.zip"
        with zipfile.ZipFile(archive, "w") as file:
            for path in PACKAGE.rglob("*"):
                if path.suffix in {".py", ".npz"}:
                    file.write(path, path.relative_to(PACKAGE.parent))
        code = "from tuitrain.engine import sample; print(sample.__file__, sample.load()['val_images'].shape)"
        result = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONPATH": str(archive)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert result.stdout.startswith(str(archive))
        assert result.stdout.strip().endswith("(2000, 28, 28)")

    @needs_real_data
    def test_is_what_its_maker_makes_byte_for_byte_twice(self, tmp_path: Path) -> None:
        outputs = [tmp_path / "first.npz", tmp_path / "second.npz"]
        for output in outputs:
            maker.main(["--data-dir", str(REAL_DATA), "--output", str(output)])
        assert outputs[0].read_bytes() == outputs[1].read_bytes()
        shipped = sample.load()
        with np.load(outputs[0]) as made:
            assert set(made.files) == set(shipped)
            for name, array in shipped.items():
                assert np.array_equal(made[name], array)

    def test_its_maker_refuses_a_directory_without_mnist(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit):
            maker.main(["--data-dir", str(tmp_path), "--output", str(tmp_path / "digits.npz")])
        assert f"{tmp_path} has no MNIST" in capsys.readouterr().err
        assert not (tmp_path / "digits.npz").exists()


class Mirror:
    """A server on this machine that has the small files, each of them whole unless told otherwise."""

    def __init__(self) -> None:
        self.files = packed(small_files())
        resources = tuple((name, hashlib.md5(content).hexdigest()) for name, content in self.files.items())
        self.promised = {name: len(content) for name, content in self.files.items()}
        self.released = threading.Event()
        """Set when the server need not hold back the end of a file that is cut short."""
        self.released.set()
        mirror = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.removeprefix("/")
                content = mirror.files.get(name)
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(mirror.promised[name]))
                self.end_headers()
                self.wfile.write(content)
                self.wfile.flush()
                if len(content) < mirror.promised[name]:
                    mirror.released.wait()

            def log_message(self, format: str, *arguments: object) -> None:
                """Stay quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        address, port = self.server.server_address[:2]
        self.source = mnist.Source((f"http://{address!s}:{port}/",), resources)


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    mirror = Mirror()
    thread = threading.Thread(target=mirror.server.serve_forever)
    thread.start()
    yield mirror
    mirror.released.set()
    mirror.server.shutdown()
    thread.join()
    mirror.server.server_close()


def ignore(name: str, fraction: float) -> None:
    """Progress nobody looks at."""


IMAGES = "train-images-idx3-ubyte.gz"


class TestDownloading:
    def test_an_interrupted_download_leaves_nothing_and_the_next_one_is_whole(
        self, tmp_path: Path, mirror: Mirror
    ) -> None:
        def interrupt(name: str, fraction: float) -> None:
            if fraction > 0:
                raise KeyboardInterrupt

        target = tmp_path / "new"
        whole = mirror.files[IMAGES]
        mirror.files[IMAGES] = whole[: len(whole) // 2]
        mirror.released.clear()
        with pytest.raises(KeyboardInterrupt):
            mnist.download(target, interrupt, mirror.source)
        assert list(target.iterdir()) == []

        mirror.files[IMAGES] = whole
        seen: list[tuple[str, float]] = []
        folder = mnist.download(target, lambda *progress: seen.append(progress), mirror.source)
        assert folder == target / mnist.RAW
        assert sorted(path.name for path in folder.iterdir()) == sorted(mnist.FILES)
        assert [path.name for path in target.iterdir()] == ["MNIST"]
        check_small(mnist.load(target))
        fractions = [fraction for _, fraction in seen]
        assert fractions == sorted(fractions)
        assert seen[-1] == (mnist.FILES[-1], 1.0)

    def test_what_is_there_is_not_downloaded_again(self, tmp_path: Path, cache: Path) -> None:
        write(tmp_path / "named" / mnist.RAW, small_files())
        check_small(mnist.load(tmp_path / "named", full=True))
        write(cache / mnist.RAW, small_files())
        check_small(mnist.load(full=True))

    @pytest.mark.parametrize("named", [False, True])
    def test_full_downloads_to_the_named_directory_or_the_cache(
        self, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, named: bool
    ) -> None:
        def download(target: Path, progress: mnist.Progress) -> Path:
            return write(target / mnist.RAW, small_files())

        monkeypatch.setattr(mnist, "download", download)
        digits = mnist.load(tmp_path / "named" if named else None, full=True)
        assert digits.origin.endswith(str((tmp_path / "named" if named else cache) / mnist.RAW))

    @pytest.mark.parametrize("fault", ["missing", "truncated", "corrupted"])
    def test_a_failing_download_leaves_nothing(self, tmp_path: Path, cache: Path, mirror: Mirror, fault: str) -> None:
        whole = mirror.files[IMAGES]
        if fault == "missing":
            del mirror.files[IMAGES]
        else:
            half = whole[: len(whole) // 2]
            mirror.files[IMAGES] = half if fault == "truncated" else half + bytes(len(whole) - len(half))
        with pytest.raises(UserError) as caught:
            mnist.download(cache, ignore, mirror.source)
        reason = "HTTP Error 404" if fault == "missing" else "File not found or corrupted"
        assert str(caught.value).startswith("MNIST could not be downloaded and nothing was kept (")
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)
        assert list(cache.iterdir()) == []
        assert mnist.load().origin.startswith("embedded sample")

    def test_a_download_that_stalls_is_given_up(
        self, cache: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(mnist, "_STALL_S", 0.2)
        mirror.files[IMAGES] = mirror.files[IMAGES][:100]
        mirror.released.clear()
        with pytest.raises(UserError, match=r"nothing arrived for 0\.2 seconds"):
            mnist.download(cache, ignore, mirror.source)
        assert list(cache.iterdir()) == []

    def test_leftovers_of_a_killed_download_never_pass_for_the_whole(self, cache: Path) -> None:
        write(cache / ".download-killed" / mnist.RAW, small_files())
        halves = {name: content[: len(content) // 2] for name, content in small_files().items()}
        write(cache / mnist.RAW, {name: halves[name] for name in mnist.FILES[:3]})
        assert mnist.find(None) is None
        write(cache / mnist.RAW, halves)
        with pytest.raises(UserError, match="is damaged"):
            mnist.load()

    def test_a_directory_that_cannot_be_written_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(UserError) as caught:
            mnist.download(tmp_path / "file" / "data", ignore)
        assert str(caught.value).startswith(f"MNIST cannot be stored in {tmp_path / 'file' / 'data'} (")
        assert "--data-dir" in str(caught.value)

    def test_the_sizes_are_those_of_the_real_files(self) -> None:
        assert mnist._DOWNLOAD_BYTES == 11_594_722
