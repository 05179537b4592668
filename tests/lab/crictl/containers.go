// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1alpha2"
)

func containers(ctx context.Context, runtime *client, arguments []string) error {
	options := newListOptions("ps")
	all := options.BoolP("all", "a", false, "show those that ended, too")
	name := options.String("name", "", "part of the container's name")
	pod := options.StringP("pod", "p", "", "beginning of the pod's identifier")
	state := options.StringP("state", "s", "", "created, running, exited or unknown")
	if err := options.Parse(arguments); err != nil {
		return err
	}
	answer, err := runtime.runtime.ListContainers(ctx, &cri.ListContainersRequest{})
	if err != nil {
		return fmt.Errorf("list of containers: %v", err)
	}
	wanted := strings.ToLower(*state)
	if wanted == "" && !*all {
		wanted = "running"
	}
	shown := &cri.ListContainersResponse{}
	var identifiers []string
	var rows [][]string
	for _, container := range answer.Containers {
		containerState := strings.ToLower(strings.TrimPrefix(container.State.String(), "CONTAINER_"))
		if !strings.Contains(container.Metadata.Name, *name) ||
			!strings.HasPrefix(container.PodSandboxId, *pod) ||
			wanted != "" && containerState != wanted {
			continue
		}
		shown.Containers = append(shown.Containers, container)
		identifiers = append(identifiers, container.Id)
		rows = append(rows, []string{short(container.Id), short(container.ImageRef), age(container.CreatedAt), containerState,
			container.Metadata.Name, fmt.Sprint(container.Metadata.Attempt), short(container.PodSandboxId)})
	}
	return options.show(shown, identifiers, "CONTAINER|IMAGE|CREATED|STATE|NAME|ATTEMPT|POD ID", rows)
}

// findContainer completes the beginning of an identifier.
func findContainer(ctx context.Context, runtime *client, beginning string) (string, error) {
	answer, err := runtime.runtime.ListContainers(ctx, &cri.ListContainersRequest{})
	if err != nil {
		return "", err
	}
	var found []string
	for _, container := range answer.Containers {
		if strings.HasPrefix(container.Id, beginning) {
			found = append(found, container.Id)
		}
	}
	if len(found) != 1 {
		return "", fmt.Errorf("%d containers have an identifier that begins so", len(found))
	}
	return found[0], nil
}

func inspectContainers(ctx context.Context, runtime *client, arguments []string) error {
	flags := newListOptions("inspect")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	return each("container", flags.Args(), func(beginning string) error {
		identifier, err := findContainer(ctx, runtime, beginning)
		if err != nil {
			return err
		}
		answer, err := runtime.runtime.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: identifier, Verbose: true})
		if err != nil {
			return err
		}
		return printDetails(answer.Status, answer.Info)
	})
}

func stopContainers(ctx context.Context, runtime *client, arguments []string) error {
	flags := pflag.NewFlagSet("stop", pflag.ContinueOnError)
	timeout := flags.Int64P("timeout", "t", 0, "seconds to wait before the container is killed")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	return each("container", flags.Args(), func(beginning string) error {
		identifier, err := findContainer(ctx, runtime, beginning)
		if err != nil {
			return err
		}
		if _, err := runtime.runtime.StopContainer(ctx, &cri.StopContainerRequest{ContainerId: identifier, Timeout: *timeout}); err != nil {
			return err
		}
		fmt.Println(beginning)
		return nil
	})
}

func removeContainers(ctx context.Context, runtime *client, arguments []string) error {
	flags := pflag.NewFlagSet("rm", pflag.ContinueOnError)
	force := flags.BoolP("force", "f", false, "stop a container that runs")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	return each("container", flags.Args(), func(beginning string) error {
		identifier, err := findContainer(ctx, runtime, beginning)
		if err != nil {
			return err
		}
		answer, err := runtime.runtime.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: identifier})
		if err != nil {
			return err
		}
		if answer.Status.State == cri.ContainerState_CONTAINER_RUNNING && !*force {
			return errors.New("is running; stop it first, or give --force")
		}
		if _, err := runtime.runtime.RemoveContainer(ctx, &cri.RemoveContainerRequest{ContainerId: identifier}); err != nil {
			return err
		}
		fmt.Println(beginning)
		return nil
	})
}

func execute(ctx context.Context, runtime *client, arguments []string) error {
	flags := pflag.NewFlagSet("exec", pflag.ContinueOnError)
	flags.SetInterspersed(false)
	flags.BoolP("sync", "s", true, "accepted and ignored: commands always run so")
	flags.BoolP("interactive", "i", false, "accepted and ignored")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if flags.NArg() < 2 {
		return errors.New("exec: wanted a container and a command")
	}
	identifier, err := findContainer(ctx, runtime, flags.Arg(0))
	if err != nil {
		return fmt.Errorf("container %s: %v", flags.Arg(0), err)
	}
	answer, err := runtime.runtime.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: identifier, Cmd: flags.Args()[1:]})
	if err != nil {
		return fmt.Errorf("container %s: %v", flags.Arg(0), err)
	}
	os.Stdout.Write(answer.Stdout)
	os.Stderr.Write(answer.Stderr)
	if answer.ExitCode != 0 {
		return fmt.Errorf("command %s: exit code %d", flags.Arg(1), answer.ExitCode)
	}
	return nil
}
