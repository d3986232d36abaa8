# SPDX-License-Identifier: Apache-2.0
"""A cluster of Kafka brokers, librdkafka's own for tests, which serves any process; a rsyslogd that sends to it as
conf/scale/kafka-sender.conf does; and processes of tasklog-kafka."""
from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any, Sequence

from database import Database
from rsyslogd import Rsyslogd, wait_until
from tasklog import BUILD, EVERY_COLUMN, REPO

AGGREGATOR = BUILD / "tasklog-kafka"
TOPIC = "tasklog"


class Place(ctypes.Structure):
    """librdkafka's rd_kafka_topic_partition_t."""

    _fields_ = [("topic", ctypes.c_char_p), ("partition", ctypes.c_int32), ("offset", ctypes.c_int64),
                ("metadata", ctypes.c_void_p), ("metadata_size", ctypes.c_size_t), ("opaque", ctypes.c_void_p),
                ("error", ctypes.c_int), ("private", ctypes.c_void_p)]


class Places(ctypes.Structure):
    _fields_ = [("count", ctypes.c_int), ("size", ctypes.c_int), ("places", ctypes.POINTER(Place))]


class Cluster:
    """The brokers live in this process. A partition keeps 5 MB and 100,000 messages, no more."""

    def __init__(self, partitions: int = 8, brokers: int = 1) -> None:
        self._library = library = ctypes.CDLL("librdkafka.so.1")
        for name in ("conf_new", "new", "mock_cluster_new"):
            getattr(library, f"rd_kafka_{name}").restype = ctypes.c_void_p
        library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
        error = ctypes.create_string_buffer(512)
        conf = ctypes.c_void_p(library.rd_kafka_conf_new())
        self._kafka = ctypes.c_void_p(library.rd_kafka_new(0, conf, error, 512))
        assert self._kafka, error.value
        self._cluster = ctypes.c_void_p(library.rd_kafka_mock_cluster_new(self._kafka, brokers))
        self.brokers = library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        self.partitions = partitions
        self._brokers = brokers
        assert library.rd_kafka_mock_topic_create(self._cluster, TOPIC.encode(), partitions, 1) == 0

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *unused: object) -> None:
        if hasattr(self, "_consumer"):
            self._library.rd_kafka_destroy(self._consumer)
        if hasattr(self, "_producer"):
            self._library.rd_kafka_topic_destroy(self._topic)
            self._library.rd_kafka_destroy(self._producer)
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._kafka)

    def down(self) -> None:
        for number in range(1, self._brokers + 1):
            self._library.rd_kafka_mock_broker_set_down(self._cluster, number)

    def up(self) -> None:
        for number in range(1, self._brokers + 1):
            self._library.rd_kafka_mock_broker_set_up(self._cluster, number)

    def produce(self, payload: bytes, partition: int = 0) -> None:
        """A message as it is; returns when the brokers have it."""
        library = self._library
        if not hasattr(self, "_producer"):
            library.rd_kafka_topic_new.restype = ctypes.c_void_p
            error = ctypes.create_string_buffer(512)
            conf = ctypes.c_void_p(library.rd_kafka_conf_new())
            library.rd_kafka_conf_set(conf, b"bootstrap.servers", self.brokers.encode(), error, 512)
            library.rd_kafka_conf_set(conf, b"linger.ms", b"0", error, 512)
            self._producer = ctypes.c_void_p(library.rd_kafka_new(0, conf, error, 512))
            self._topic = ctypes.c_void_p(
                library.rd_kafka_topic_new(self._producer, TOPIC.encode(), None))
        assert library.rd_kafka_produce(self._topic, partition, 2, payload,
                                        ctypes.c_size_t(len(payload)), None, ctypes.c_size_t(0),
                                        None) == 0
        assert library.rd_kafka_flush(self._producer, 10000) == 0


    def is_settled(self, group: str) -> bool:
        """Has the group committed all there is?"""
        library = self._library
        if not hasattr(self, "_consumer"):
            library.rd_kafka_topic_partition_list_new.restype = ctypes.POINTER(Places)
            error = ctypes.create_string_buffer(512)
            conf = ctypes.c_void_p(library.rd_kafka_conf_new())
            for name, value in (("bootstrap.servers", self.brokers), ("group.id", group)):
                library.rd_kafka_conf_set(conf, name.encode(), value.encode(), error, 512)
            self._consumer = ctypes.c_void_p(library.rd_kafka_new(1, conf, error, 512))
            assert self._consumer, error.value
        places = library.rd_kafka_topic_partition_list_new(self.partitions)
        for partition in range(self.partitions):
            library.rd_kafka_topic_partition_list_add(places, TOPIC.encode(), partition)
        try:
            assert library.rd_kafka_committed(self._consumer, places, 10000) == 0
            for place in places.contents.places[:self.partitions]:
                low, high = ctypes.c_int64(), ctypes.c_int64()
                assert library.rd_kafka_query_watermark_offsets(
                    self._consumer, TOPIC.encode(), place.partition, ctypes.byref(low), ctypes.byref(high), 10000) == 0
                if high.value > 0 and place.offset != high.value:
                    return False
            return True
        finally:
            library.rd_kafka_topic_partition_list_destroy(places)


def sender_conf(cluster: Cluster, socket: Path) -> str:
    """The shipped configuration, with this cluster and a socket of the test's own."""
    text = (REPO / "conf/scale/kafka-sender.conf").read_text()
    text, count = re.subn(r'broker=\[[^]]*\]', f'broker="{cluster.brokers}"', text)
    assert count == 1
    text = text.replace("/run/tasklog/log", str(socket))
    return 'module(load="imuxsock" SysSock.Use="off")\n' + text


class Sender(Rsyslogd):
    """A rsyslogd that sends to the cluster."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        super().__init__(folder)
        self._cluster = cluster

    def __enter__(self) -> Sender:
        self.start(sender_conf(self._cluster, self.socket))
        return self


class Aggregator:
    """A process of tasklog-kafka with one target, "task"."""

    def __init__(self, folder: Path, cluster: Cluster, database: Database,
                 kinds: Sequence[str] = ("kind",), kafka: str = "", group: str = "group",
                 **parameters: Any) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.conf = folder / "kafka.conf"
        self.log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None
        given: dict[str, Any] = {"database": database.url, "table": database.table,
                                 "columns": [*EVERY_COLUMN, "position=log_position"], **parameters}
        text = (f"[kafka]\nbrokers = {cluster.brokers}\ntopic = {TOPIC}\ngroup = {group}\n"
                f"session.timeout.ms = 3000\nheartbeat.interval.ms = 300\n{kafka}\n"
                f"[task]\nkinds = {' '.join(kinds)}\n")
        for name, value in given.items():
            listed = value if isinstance(value, (list, tuple)) else [value]
            text += f"{name} =" + "".join(f"\n  {each}" for each in listed) + "\n"
        self.conf.write_text(text)

    def __enter__(self) -> Aggregator:
        self.start()
        return self

    def __exit__(self, *unused: object) -> None:
        if self.process:
            self.kill9()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([AGGREGATOR, "-c", self.conf], stdout=log, stderr=log,
                                            env={**os.environ,
                                                 "STATE_DIRECTORY": str(self.folder / "state")})

    def send(self, number: int) -> None:
        assert self.process
        os.kill(self.process.pid, number)

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self, seconds: float = 30.0) -> int:
        assert self.process
        self.process.terminate()
        status = self.process.wait(seconds)
        self.process = None
        return status

    def kill9(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait(30)
        self.process = None

    def freeze(self) -> None:
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.send(signal.SIGCONT)

    def messages(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_said(self, text: str, seconds: float = 20.0) -> None:
        try:
            wait_until(lambda: text in self.messages(), f'message "{text}"', seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.messages()}") from None

    def wait_reading(self) -> None:
        self.wait_said("to be read")
