# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What kubeadm, the kubelet and kube-proxy can be told: each field with its type, and with the minors that have it.

kubeadm's fields are the words of its newest API, v1beta4, and beside them what older APIs alone can say. They are read
off the Go types of v1beta2 (Kubernetes 1.20.2), v1beta3 and v1beta4 (1.36.0), and what came within v1beta4 off the
release notes. The kubelet's and kube-proxy's are read off the Go types of 1.20.2 and 1.36.0. A field that only one of
the two has came or went on the way: it is let through for every minor between, rather than refused where it may exist.
The unit tests hold this table against the APIs' own, kept in tests/unit/fixtures/api.

A field is written "TYPE", "TYPE | from 1.31" or "TYPE | to 1.21". A type that is a name here is an object of this
table, "list of" and "map of" (by name) say what they hold, and the others are in config_values.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from . import versions

TYPES: dict[str, dict[str, str]] = {
    # kubeadm.
    "APIEndpoint": {
        "advertiseAddress": "address",
        "bindPort": "port",
    },
    "APIServer": {
        "certSANs": "list of SAN",
        "extraArgs": "arguments",
        "extraEnvs": "list of EnvVar | from 1.31",
        "extraVolumes": "list of HostPathMount",
    },
    "BootstrapToken": {
        "description": "text",
        "expires": "time",
        "groups": "list of token group",
        "token": "token",
        "ttl": "duration",
        "usages": "list of token usage",
    },
    "BootstrapTokenDiscovery": {
        "apiServerEndpoint": "endpoint",
        "caCertHashes": "list of hash",
        "token": "token",
        "unsafeSkipCAVerification": "flag",
    },
    "ClusterConfiguration": {
        "apiServer": "APIServer",
        "caCertificateValidityPeriod": "duration | from 1.31",
        "certificateValidityPeriod": "duration | from 1.31",
        "certificatesDir": "path",
        "clusterName": "text",
        "controlPlaneEndpoint": "text",
        "controllerManager": "ControlPlaneComponent",
        "dns": "DNS",
        "encryptionAlgorithm": "encryption algorithm | from 1.31",
        "etcd": "Etcd",
        "featureGates": "map of flag",
        "imageRepository": "text",
        "kubernetesVersion": "text",
        "networking": "Networking",
        "proxy": "Proxy | from 1.31",
        "scheduler": "ControlPlaneComponent",
        "useHyperKubeImage": "flag | to 1.21",
    },
    "ConfigMapKeySelector": {
        "key": "text",
        "name": "text",
        "optional": "flag",
    },
    "ControlPlaneComponent": {
        "extraArgs": "arguments",
        "extraEnvs": "list of EnvVar | from 1.31",
        "extraVolumes": "list of HostPathMount",
    },
    "DNS": {
        "disabled": "flag | from 1.31",
        "imageRepository": "text",
        "imageTag": "text",
        "type": "DNS type | to 1.21",
    },
    "Discovery": {
        "bootstrapToken": "BootstrapTokenDiscovery",
        "file": "FileDiscovery",
        "tlsBootstrapToken": "token",
    },
    "EnvVar": {
        "name": "text",
        "value": "text",
        "valueFrom": "EnvVarSource",
    },
    "EnvVarSource": {
        "configMapKeyRef": "ConfigMapKeySelector",
        "fieldRef": "ObjectFieldSelector",
        "fileKeyRef": "FileKeySelector",
        "resourceFieldRef": "ResourceFieldSelector",
        "secretKeyRef": "SecretKeySelector",
    },
    "Etcd": {
        "external": "ExternalEtcd",
        "local": "LocalEtcd",
    },
    "ExternalEtcd": {
        "caFile": "path",
        "certFile": "path",
        "endpoints": "list of url",
        "httpEndpoints": "list of url | from 1.35",
        "keyFile": "path",
    },
    "FileDiscovery": {
        "kubeConfigPath": "path or url",
    },
    "FileKeySelector": {
        "key": "text",
        "optional": "flag",
        "path": "text",
        "volumeName": "text",
    },
    "HostPathMount": {
        "hostPath": "path",
        "mountPath": "path",
        "name": "text",
        "pathType": "path type",
        "readOnly": "flag",
    },
    "InitConfiguration": {
        "bootstrapTokens": "list of BootstrapToken",
        "certificateKey": "key",
        "dryRun": "flag | from 1.31",
        "localAPIEndpoint": "APIEndpoint",
        "nodeRegistration": "NodeRegistrationOptions",
        "patches": "Patches",
        "skipPhases": "list of text",
        "timeouts": "InitTimeouts",
    },
    "InitTimeouts": {
        "controlPlaneComponentHealthCheck": "duration",
        "discovery": "duration | from 1.31",
        "etcdAPICall": "duration | from 1.31",
        "kubeletHealthCheck": "duration | from 1.31",
        "kubernetesAPICall": "duration | from 1.31",
        "tlsBootstrap": "duration | from 1.31",
        "upgradeManifests": "duration | from 1.31",
    },
    "JoinConfiguration": {
        "caCertPath": "path",
        "controlPlane": "JoinControlPlane",
        "discovery": "Discovery",
        "dryRun": "flag | from 1.31",
        "nodeRegistration": "NodeRegistrationOptions",
        "patches": "Patches",
        "skipPhases": "list of text",
        "timeouts": "JoinTimeouts",
    },
    "JoinControlPlane": {
        "certificateKey": "key",
        "localAPIEndpoint": "APIEndpoint",
    },
    "JoinTimeouts": {
        "controlPlaneComponentHealthCheck": "duration | from 1.31",
        "discovery": "duration",
        "etcdAPICall": "duration | from 1.31",
        "kubeletHealthCheck": "duration | from 1.31",
        "kubernetesAPICall": "duration | from 1.31",
        "tlsBootstrap": "duration | from 1.31",
        "upgradeManifests": "duration | from 1.31",
    },
    "LocalEtcd": {
        "dataDir": "path",
        "extraArgs": "arguments",
        "extraEnvs": "list of EnvVar | from 1.31",
        "imageRepository": "text",
        "imageTag": "text",
        "peerCertSANs": "list of SAN",
        "serverCertSANs": "list of SAN",
    },
    "Networking": {
        "dnsDomain": "domain",
        "podSubnet": "text",
        "serviceSubnet": "text",
    },
    "NodeRegistrationOptions": {
        "criSocket": "socket",
        "ignorePreflightErrors": "list of text",
        "imagePullPolicy": "pull policy | from 1.22",
        "imagePullSerial": "flag | from 1.31",
        "kubeletExtraArgs": "arguments",
        "name": "node name",
        "taints": "list of Taint",
    },
    "ObjectFieldSelector": {
        "apiVersion": "text",
        "fieldPath": "text",
    },
    "Patches": {
        "directory": "path",
    },
    "Proxy": {
        "disabled": "flag",
    },
    "ResetConfiguration": {
        "certificatesDir": "path",
        "cleanupTmpDir": "flag",
        "criSocket": "socket",
        "dryRun": "flag",
        "force": "flag",
        "ignorePreflightErrors": "list of text",
        "skipPhases": "list of text",
        "timeouts": "Timeouts",
        "unmountFlags": "list of unmount flag",
    },
    "ResourceFieldSelector": {
        "containerName": "text",
        "divisor": "quantity",
        "resource": "text",
    },
    "SecretKeySelector": {
        "key": "text",
        "name": "text",
        "optional": "flag",
    },
    "Taint": {
        "effect": "taint effect",
        "key": "text",
        "timeAdded": "time",
        "value": "text",
    },
    "Timeouts": {
        "controlPlaneComponentHealthCheck": "duration",
        "discovery": "duration",
        "etcdAPICall": "duration",
        "kubeletHealthCheck": "duration",
        "kubernetesAPICall": "duration",
        "tlsBootstrap": "duration",
        "upgradeManifests": "duration",
    },
    "UpgradeApplyConfiguration": {
        "allowExperimentalUpgrades": "flag",
        "allowRCUpgrades": "flag",
        "certificateRenewal": "flag",
        "dryRun": "flag",
        "etcdUpgrade": "flag",
        "forceUpgrade": "flag",
        "ignorePreflightErrors": "list of text",
        "imagePullPolicy": "pull policy",
        "imagePullSerial": "flag",
        "kubernetesVersion": "text",
        "patches": "Patches",
        "printConfig": "flag",
        "skipPhases": "list of text",
    },
    "UpgradeConfiguration": {
        "apply": "UpgradeApplyConfiguration",
        "diff": "UpgradeDiffConfiguration",
        "node": "UpgradeNodeConfiguration",
        "plan": "UpgradePlanConfiguration",
        "timeouts": "Timeouts",
    },
    "UpgradeDiffConfiguration": {
        "contextLines": "number",
        "kubernetesVersion": "text",
    },
    "UpgradeNodeConfiguration": {
        "certificateRenewal": "flag",
        "dryRun": "flag",
        "etcdUpgrade": "flag",
        "ignorePreflightErrors": "list of text",
        "imagePullPolicy": "pull policy",
        "imagePullSerial": "flag",
        "patches": "Patches",
        "skipPhases": "list of text",
    },
    "UpgradePlanConfiguration": {
        "allowExperimentalUpgrades": "flag",
        "allowRCUpgrades": "flag",
        "dryRun": "flag",
        "etcdUpgrade": "flag | from 1.33",
        "ignorePreflightErrors": "list of text",
        "kubernetesVersion": "text",
        "printConfig": "flag",
    },
    # The kubelet.
    "CrashLoopBackOffConfig": {
        "maxContainerRestartPeriod": "duration",
    },
    "FormatOptions": {
        "json": "JSONOptions",
        "text": "TextOptions",
    },
    "JSONOptions": {
        "infoBufferSize": "quantity",
        "splitStream": "flag",
    },
    "KubeletAnonymousAuthentication": {
        "enabled": "flag",
    },
    "KubeletAuthentication": {
        "anonymous": "KubeletAnonymousAuthentication",
        "webhook": "KubeletWebhookAuthentication",
        "x509": "KubeletX509Authentication",
    },
    "KubeletAuthorization": {
        "mode": "text",
        "webhook": "KubeletWebhookAuthorization",
    },
    "KubeletConfiguration": {
        "address": "text",
        "allowedUnsafeSysctls": "list of text",
        "authentication": "KubeletAuthentication",
        "authorization": "KubeletAuthorization",
        "cgroupDriver": "cgroup driver",
        "cgroupRoot": "text",
        "cgroupsPerQOS": "flag",
        "clusterDNS": "list of address",
        "clusterDomain": "text",
        "configMapAndSecretChangeDetectionStrategy": "text",
        "containerLogMaxFiles": "number",
        "containerLogMaxSize": "text",
        "containerLogMaxWorkers": "number | from 1.21",
        "containerLogMonitorInterval": "duration | from 1.21",
        "containerRuntimeEndpoint": "text | from 1.21",
        "contentType": "text",
        "cpuCFSQuota": "flag",
        "cpuCFSQuotaPeriod": "duration",
        "cpuManagerPolicy": "text",
        "cpuManagerPolicyOptions": "map of text | from 1.21",
        "cpuManagerReconcilePeriod": "duration",
        "crashLoopBackOff": "CrashLoopBackOffConfig | from 1.21",
        "enableContentionProfiling": "flag",
        "enableControllerAttachDetach": "flag",
        "enableDebugFlagsHandler": "flag | from 1.21",
        "enableDebuggingHandlers": "flag",
        "enableProfilingHandler": "flag | from 1.21",
        "enableServer": "flag",
        "enableSystemLogHandler": "flag",
        "enableSystemLogQuery": "flag | from 1.21",
        "enforceNodeAllocatable": "list of text",
        "eventBurst": "number",
        "eventRecordQPS": "number",
        "evictionHard": "map of text",
        "evictionMaxPodGracePeriod": "number",
        "evictionMinimumReclaim": "map of text",
        "evictionPressureTransitionPeriod": "duration",
        "evictionSoft": "map of text",
        "evictionSoftGracePeriod": "map of text",
        "failCgroupV1": "flag | from 1.31",
        "failSwapOn": "flag",
        "featureGates": "map of flag",
        "fileCheckFrequency": "duration",
        "hairpinMode": "text",
        "healthzBindAddress": "text",
        "healthzPort": "number",
        "httpCheckFrequency": "duration",
        "imageGCHighThresholdPercent": "number",
        "imageGCLowThresholdPercent": "number",
        "imageMaximumGCAge": "duration | from 1.21",
        "imageMinimumGCAge": "duration",
        "imagePullCredentialsVerificationPolicy": "text | from 1.21",
        "imageServiceEndpoint": "text | from 1.21",
        "iptablesDropBit": "number",
        "iptablesMasqueradeBit": "number",
        "kernelMemcgNotification": "flag",
        "kubeAPIBurst": "number",
        "kubeAPIQPS": "number",
        "kubeReserved": "map of text",
        "kubeReservedCgroup": "text",
        "kubeletCgroups": "text",
        "localStorageCapacityIsolation": "flag | from 1.21",
        "logging": "LoggingConfiguration",
        "makeIPTablesUtilChains": "flag",
        "maxOpenFiles": "number",
        "maxParallelImagePulls": "number | from 1.21",
        "maxPods": "number",
        "memoryManagerPolicy": "text | from 1.21",
        "memoryReservationPolicy": "text | from 1.21",
        "memorySwap": "MemorySwapConfiguration | from 1.22",
        "memoryThrottlingFactor": "decimal | from 1.21",
        "mergeDefaultEvictionSettings": "flag | from 1.21",
        "nodeLeaseDurationSeconds": "number",
        "nodeStatusMaxImages": "number",
        "nodeStatusReportFrequency": "duration",
        "nodeStatusUpdateFrequency": "duration",
        "oomScoreAdj": "number",
        "podCIDR": "text",
        "podLogsDir": "text | from 1.21",
        "podPidsLimit": "number",
        "podsPerCore": "number",
        "port": "number",
        "preloadedImagesVerificationAllowlist": "list of text | from 1.21",
        "protectKernelDefaults": "flag",
        "providerID": "text",
        "qosReserved": "map of text",
        "readOnlyPort": "number",
        "registerNode": "flag | from 1.21",
        "registerWithTaints": "list of Taint | from 1.21",
        "registryBurst": "number",
        "registryPullQPS": "number",
        "reservedMemory": "list of MemoryReservation | from 1.21",
        "reservedSystemCPUs": "text",
        "resolvConf": "text",
        "rotateCertificates": "flag",
        "runOnce": "flag",
        "runtimeRequestTimeout": "duration",
        "seccompDefault": "flag | from 1.21",
        "serializeImagePulls": "flag",
        "serverTLSBootstrap": "flag",
        "showHiddenMetricsForVersion": "text",
        "shutdownGracePeriod": "duration",
        "shutdownGracePeriodByPodPriority": "list of ShutdownGracePeriodByPodPriority | from 1.21",
        "shutdownGracePeriodCriticalPods": "duration",
        "singleProcessOOMKill": "flag | from 1.21",
        "staticPodPath": "text",
        "staticPodURL": "text",
        "staticPodURLHeader": "map of list of text",
        "streamingConnectionIdleTimeout": "duration",
        "syncFrequency": "duration",
        "systemCgroups": "text",
        "systemReserved": "map of text",
        "systemReservedCgroup": "text",
        "tlsCertFile": "text",
        "tlsCipherSuites": "list of text",
        "tlsCurvePreferences": "list of number | from 1.21",
        "tlsMinVersion": "text",
        "tlsPrivateKeyFile": "text",
        "topologyManagerPolicy": "text",
        "topologyManagerPolicyOptions": "map of text | from 1.21",
        "topologyManagerScope": "text",
        "tracing": "TracingConfiguration | from 1.21",
        "userNamespaces": "UserNamespaces | from 1.21",
        "volumePluginDir": "text",
        "volumeStatsAggPeriod": "duration",
    },
    "KubeletWebhookAuthentication": {
        "cacheTTL": "duration",
        "enabled": "flag",
    },
    "KubeletWebhookAuthorization": {
        "cacheAuthorizedTTL": "duration",
        "cacheUnauthorizedTTL": "duration",
    },
    "KubeletX509Authentication": {
        "clientCAFile": "text",
    },
    "LoggingConfiguration": {
        "flushFrequency": "duration or nanoseconds | from 1.21",
        "format": "text",
        "options": "FormatOptions | from 1.21",
        "sanitization": "flag | to 1.35",
        "verbosity": "number | from 1.21",
        "vmodule": "list of VModuleItem | from 1.21",
    },
    "MemoryReservation": {
        "limits": "map of quantity",
        "numaNode": "number",
    },
    "MemorySwapConfiguration": {
        "swapBehavior": "text",
    },
    "ShutdownGracePeriodByPodPriority": {
        "priority": "number",
        "shutdownGracePeriodSeconds": "number",
    },
    "TextOptions": {
        "infoBufferSize": "quantity",
        "splitStream": "flag",
    },
    "TracingConfiguration": {
        "endpoint": "text",
        "samplingRatePerMillion": "number",
    },
    "UserNamespaces": {
        "idsPerPod": "number",
    },
    "VModuleItem": {
        "filePattern": "text",
        "verbosity": "number",
    },
    # kube-proxy.
    "ClientConnectionConfiguration": {
        "acceptContentTypes": "text",
        "burst": "number",
        "contentType": "text",
        "kubeconfig": "text",
        "qps": "decimal",
    },
    "DetectLocalConfiguration": {
        "bridgeInterface": "text",
        "interfaceNamePrefix": "text",
    },
    "KubeProxyConfiguration": {
        "bindAddress": "text",
        "bindAddressHardFail": "flag",
        "clientConnection": "ClientConnectionConfiguration",
        "clusterCIDR": "text",
        "configSyncPeriod": "duration",
        "conntrack": "KubeProxyConntrackConfiguration",
        "detectLocal": "DetectLocalConfiguration | from 1.21",
        "detectLocalMode": "text",
        "enableProfiling": "flag",
        "featureGates": "map of flag",
        "healthzBindAddress": "text",
        "hostnameOverride": "text",
        "iptables": "KubeProxyIPTablesConfiguration",
        "ipvs": "KubeProxyIPVSConfiguration",
        "logging": "ProxyLoggingConfiguration | from 1.21",
        "metricsBindAddress": "text",
        "mode": "proxy mode",
        "nftables": "KubeProxyNFTablesConfiguration | from 1.29",
        "nodePortAddresses": "list of text",
        "oomScoreAdj": "number",
        "portRange": "text",
        "showHiddenMetricsForVersion": "text",
        "udpIdleTimeout": "duration | to 1.35",
        "windowsRunAsService": "flag | from 1.21",
        "winkernel": "KubeProxyWinkernelConfiguration",
    },
    "KubeProxyConntrackConfiguration": {
        "maxPerCore": "number",
        "min": "number",
        "tcpBeLiberal": "flag | from 1.21",
        "tcpCloseWaitTimeout": "duration",
        "tcpEstablishedTimeout": "duration",
        "udpStreamTimeout": "duration | from 1.21",
        "udpTimeout": "duration | from 1.21",
    },
    "KubeProxyIPTablesConfiguration": {
        "localhostNodePorts": "flag | from 1.21",
        "masqueradeAll": "flag",
        "masqueradeBit": "number",
        "minSyncPeriod": "duration",
        "syncPeriod": "duration",
    },
    "KubeProxyIPVSConfiguration": {
        "excludeCIDRs": "list of text",
        "minSyncPeriod": "duration",
        "scheduler": "text",
        "strictARP": "flag",
        "syncPeriod": "duration",
        "tcpFinTimeout": "duration",
        "tcpTimeout": "duration",
        "udpTimeout": "duration",
    },
    "KubeProxyNFTablesConfiguration": {
        "masqueradeAll": "flag",
        "masqueradeBit": "number",
        "minSyncPeriod": "duration",
        "syncPeriod": "duration",
    },
    "KubeProxyWinkernelConfiguration": {
        "enableDSR": "flag",
        "forwardHealthCheckVip": "flag | from 1.21",
        "networkName": "text",
        "rootHnsEndpointName": "text | from 1.21",
        "sourceVip": "text",
    },
    "ProxyLoggingConfiguration": {
        "flushFrequency": "duration or nanoseconds",
        "format": "text",
        "options": "FormatOptions",
        "verbosity": "number",
        "vmodule": "list of VModuleItem",
    },
}


# The configuration kinds, by the API that they belong to.
KINDS: dict[str, str] = {
    "ClusterConfiguration": "kubeadm.k8s.io/v1beta4",
    "InitConfiguration": "kubeadm.k8s.io/v1beta4",
    "JoinConfiguration": "kubeadm.k8s.io/v1beta4",
    "ResetConfiguration": "kubeadm.k8s.io/v1beta4",
    "UpgradeConfiguration": "kubeadm.k8s.io/v1beta4",
    "KubeletConfiguration": "kubelet.config.k8s.io/v1beta1",
    "KubeProxyConfiguration": "kubeproxy.config.k8s.io/v1alpha1",
}

_FIELD = re.compile(r"^(?P<type>[^|]+?)(?: \| from 1\.(?P<since>\d+))?(?: \| to 1\.(?P<until>\d+))?$")


class Field(NamedTuple):
    """One field.

    Attributes:
        type: an object of ``TYPES``, a type of ``config_values``, or "list of" or "map of" one.
        since: the first minor that has it.
        until: the last one.
    """

    type: str
    since: int
    until: int

    def is_of(self, minor: int | None) -> bool:
        """Whether this minor has it; of one that nobody knows it is not denied."""
        return minor is None or self.since <= minor <= self.until


@functools.cache
def fields(name: str) -> dict[str, Field]:
    """The fields of an object of ``TYPES``."""
    found = {}
    for field, text in TYPES[name].items():
        match = _FIELD.match(text)
        if match is None:
            raise ValueError(f"{name}.{field} is written {text!r}")
        since, until = match["since"] or versions.OLDEST_MINOR, match["until"] or versions.NEWEST_MINOR
        found[field] = Field(match["type"], int(since), int(until))
    return found
