// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"io/ioutil"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1alpha2"
)

const (
	configurationFile = "/etc/crictl.yaml"
	defaultEndpoint   = "unix:///run/containerd/containerd.sock"
	// Lists of a busy node are larger than gRPC's default limit of 4 MiB.
	largestMessage = 16 << 20
)

type settings struct {
	runtimeEndpoint string
	imageEndpoint   string
	timeout         time.Duration
}

// client holds the two services of a runtime.
type client struct {
	runtime     cri.RuntimeServiceClient
	images      cri.ImageServiceClient
	connections []*grpc.ClientConn
}

// readSettings takes the defaults from the environment, else from the configuration file, if there is one.
func readSettings(path string) (settings, error) {
	result := settings{runtimeEndpoint: defaultEndpoint, timeout: 10 * time.Second}
	content, err := ioutil.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return result, err
	}
	for _, line := range strings.Split(string(content), "\n") {
		pair := strings.SplitN(line, ":", 2)
		if len(pair) != 2 {
			continue
		}
		value := strings.Trim(strings.TrimSpace(pair[1]), `"'`)
		switch {
		case value == "":
		case pair[0] == "runtime-endpoint":
			result.runtimeEndpoint = value
		case pair[0] == "image-endpoint":
			result.imageEndpoint = value
		case pair[0] == "timeout":
			seconds, err := time.ParseDuration(value + "s")
			if err != nil {
				return result, fmt.Errorf("%s: timeout: found %q, wanted a number of seconds", path, value)
			}
			if seconds > 0 {
				result.timeout = seconds
			}
		}
	}
	if endpoint := os.Getenv("CONTAINER_RUNTIME_ENDPOINT"); endpoint != "" {
		result.runtimeEndpoint = endpoint
	}
	if endpoint := os.Getenv("IMAGE_SERVICE_ENDPOINT"); endpoint != "" {
		result.imageEndpoint = endpoint
	}
	return result, nil
}

func connect(ctx context.Context, settings settings) (*client, error) {
	connection, err := dial(ctx, settings.runtimeEndpoint)
	if err != nil {
		return nil, err
	}
	result := &client{runtime: cri.NewRuntimeServiceClient(connection), connections: []*grpc.ClientConn{connection}}
	if settings.imageEndpoint != "" && settings.imageEndpoint != settings.runtimeEndpoint {
		if connection, err = dial(ctx, settings.imageEndpoint); err != nil {
			return nil, err
		}
		result.connections = append(result.connections, connection)
	}
	result.images = cri.NewImageServiceClient(connection)
	return result, nil
}

func dial(ctx context.Context, endpoint string) (*grpc.ClientConn, error) {
	path := strings.TrimPrefix(endpoint, "unix://")
	connection, err := grpc.DialContext(ctx, path,
		grpc.WithInsecure(),
		grpc.WithBlock(),
		grpc.FailOnNonTempDialError(true),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(largestMessage)),
		grpc.WithContextDialer(func(ctx context.Context, path string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}))
	if err != nil {
		return nil, fmt.Errorf("runtime at %s: no connection: %v", endpoint, err)
	}
	return connection, nil
}

func (c *client) close() {
	for _, connection := range c.connections {
		connection.Close()
	}
}
