# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials are made whole or not at all, kept valid while they are needed, and taken back."""

from __future__ import annotations

import base64
import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import discovery, evidence, kube_api
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.modules import join_credentials
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.certificates import Identity

UTC = datetime.timezone.utc
SECRETS = discovery.SECRETS


class Api:
    """An API server that keeps Secrets, with the part of kubeadm's that uploads certificates."""

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {evidence.KUBEADM_CONFIG: {"data": {"ClusterConfiguration": "kind: x"}}}
        self.uploads: list[str] = []
        self.refuses: set[str] = set()

    def find(self, path: str) -> Any:
        return self.objects.get(path)

    def get(self, path: str) -> Any:
        return self.objects[path]

    def create(self, path: str, document: dict[str, Any]) -> None:
        if "create" in self.refuses:
            raise RequestFailed("etcdserver: request timed out", 500)
        self.objects[f"{path}/{document['metadata']['name']}"] = document

    def replace(self, path: str, document: dict[str, Any]) -> None:
        assert path in self.objects
        self.objects[path] = document

    def delete(self, path: str) -> bool:
        return self.objects.pop(path, None) is not None

    def upload(self, _kubeadm: object, configuration: str, key: str) -> None:
        assert configuration == "kind: x"
        self.uploads.append(key)
        name = f"bootstrap-token-owner{len(self.uploads)}"
        self.objects[f"{SECRETS}/{name}"] = expiring(minutes=120)
        metadata = {"name": "kubeadm-certs", "ownerReferences": [{"name": name}]}
        self.objects[discovery.UPLOADED] = {"metadata": metadata}

    @property
    def secrets(self) -> set[str]:
        return {path.rpartition("/")[2] for path in self.objects if path.startswith(SECRETS)}


def expiring(minutes: float) -> dict[str, Any]:
    end = (datetime.datetime.now(UTC) + datetime.timedelta(minutes=minutes)).strftime(discovery.TIME)
    return {"metadata": {"name": "x"}, "data": {"expiration": base64.b64encode(end.encode()).decode()}}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, ca: Identity) -> Api:
    api = Api()
    monkeypatch.setattr(kube_api, "local_admin", lambda: api)
    monkeypatch.setattr(join_credentials, "Kubeadm", lambda _module: None)
    monkeypatch.setattr(join_credentials, "upload_certificates", api.upload)
    monkeypatch.setattr(join_credentials, "read_text", lambda _path: ca.pem)
    monkeypatch.setattr(join_credentials.etcd, "has_client_certificate", lambda: False)
    return api


def module(check_mode: bool = False, **changes: Any) -> Any:
    params = {
        "control_plane": True,
        "upload_certificates": True,
        "token": None,
        "certificate_key": None,
        "lifetime_minutes": 30,
        **changes,
    }
    return SimpleNamespace(check_mode=check_mode, params=params)


def test_make_for_workers_uploads_nothing(api: Api) -> None:
    made = join_credentials.make(module(control_plane=False))
    assert api.secrets == {f"bootstrap-token-{made['token_id']}"}
    assert "certificate_key" not in made


def test_make_for_sealed_distribution_uploads_nothing_and_tells_of_etcd(api: Api) -> None:
    made = join_credentials.make(module(upload_certificates=False))
    assert api.uploads == []
    assert "certificate_key" not in made
    assert {"etcd_endpoints", "cluster_configuration"} <= set(made)


def test_make_for_control_planes_uploads_under_the_key_that_it_returns(api: Api) -> None:
    assert join_credentials.make(module())["certificate_key"] == api.uploads[0]


def test_make_that_fails_leaves_nothing_behind(api: Api) -> None:
    api.refuses.add("create")
    with pytest.raises(RequestFailed, match="timed out"):
        join_credentials.make(module())
    assert api.secrets == set()


def test_taken_back_nothing_is_left(api: Api) -> None:
    made = join_credentials.make(module())
    assert join_credentials.take_back(api, made["token_id"], check_mode=True)  # type: ignore[arg-type]
    assert join_credentials.take_back(api, made["token_id"])  # type: ignore[arg-type]
    assert api.secrets == set()
    assert not join_credentials.take_back(api, made["token_id"])  # type: ignore[arg-type]


@pytest.fixture
def made(api: Api) -> dict[str, Any]:
    return join_credentials.make(module())


def keep(made: dict[str, Any], check_mode: bool = False) -> bool:
    options = {"token": made["token"], "certificate_key": made["certificate_key"]}
    return bool(join_credentials.keep(module(check_mode, **options))["changed"])


def path_of(made: dict[str, Any]) -> str:
    return f"{SECRETS}/bootstrap-token-{made['token_id']}"


def test_keep_leaves_credentials_alone_that_last(api: Api, made: dict[str, Any]) -> None:
    before = dict(api.objects)
    assert not keep(made)
    assert api.objects == before


@pytest.mark.parametrize("secret", [None, expiring(minutes=5), expiring(minutes=-1)], ids=["gone", "soon", "over"])
def test_keep_gives_a_token_that_ends_a_new_life(api: Api, made: dict[str, Any], secret: Any) -> None:
    api.objects[path_of(made)] = secret
    if secret is None:
        del api.objects[path_of(made)]
    assert keep(made, check_mode=True)
    assert api.objects.get(path_of(made)) == secret
    assert keep(made)
    assert base64.b64decode(api.objects[path_of(made)]["data"]["token-secret"]).decode() in made["token"]
    assert not keep(made)


def test_keep_uploads_certificates_that_are_gone_again_under_the_same_key(api: Api, made: dict[str, Any]) -> None:
    del api.objects[discovery.UPLOADED]
    assert keep(made)
    assert api.uploads == [made["certificate_key"]] * 2
    assert not keep(made)


@pytest.mark.parametrize("owner", [None, expiring(minutes=5)], ids=["gone", "soon"])
def test_keep_uploads_certificates_that_end_soon_and_takes_away_what_gave_them_life(
    api: Api, made: dict[str, Any], owner: Any
) -> None:
    path = f"{SECRETS}/bootstrap-token-owner1"
    api.objects[path] = owner
    if owner is None:
        del api.objects[path]
    assert keep(made)
    assert path not in api.objects
    assert "bootstrap-token-owner2" in api.secrets


def test_renewal_begins_before_the_end_however_short_the_life(api: Api) -> None:
    for minutes in (1, 5, 30, 600):
        made = join_credentials.make(module(control_plane=False, lifetime_minutes=minutes))
        end = datetime.datetime.fromisoformat(made["expires"])
        renew = datetime.datetime.strptime(made["renew_after"], discovery.TIME).replace(tzinfo=UTC)
        assert datetime.datetime.now(UTC) < renew < end


def test_two_runs_at_once_the_later_upload_stays_when_the_earlier_run_ends(api: Api) -> None:
    first = join_credentials.make(module())
    second = join_credentials.make(module())
    assert api.uploads == [first["certificate_key"], second["certificate_key"]]
    assert discovery.uploaded_for(api.objects[discovery.UPLOADED]) == second["token_id"]
    assert join_credentials.take_back(api, first["token_id"])  # type: ignore[arg-type]
    assert api.secrets == {f"bootstrap-token-{second['token_id']}", "bootstrap-token-owner2", "kubeadm-certs"}
    assert join_credentials.take_back(api, second["token_id"])  # type: ignore[arg-type]
    assert api.secrets == set()


def test_keep_uploads_again_what_another_run_has_replaced(api: Api, made: dict[str, Any]) -> None:
    join_credentials.make(module())
    assert keep(made)
    assert api.uploads[-1] == made["certificate_key"]
    assert not keep(made)
