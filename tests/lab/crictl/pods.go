// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1alpha2"
)

func pods(ctx context.Context, runtime *client, arguments []string) error {
	options := newListOptions("pods")
	name := options.String("name", "", "part of the pod's name")
	namespace := options.String("namespace", "", "the pod's namespace")
	state := options.StringP("state", "s", "", "ready or notready")
	if err := options.Parse(arguments); err != nil {
		return err
	}
	answer, err := runtime.runtime.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		return fmt.Errorf("list of pods: %v", err)
	}
	shown := &cri.ListPodSandboxResponse{}
	var identifiers []string
	var rows [][]string
	for _, pod := range answer.Items {
		podState := strings.ToLower(strings.TrimPrefix(pod.State.String(), "SANDBOX_"))
		if !strings.Contains(pod.Metadata.Name, *name) ||
			*namespace != "" && pod.Metadata.Namespace != *namespace ||
			*state != "" && podState != strings.ToLower(*state) {
			continue
		}
		shown.Items = append(shown.Items, pod)
		identifiers = append(identifiers, pod.Id)
		rows = append(rows, []string{short(pod.Id), age(pod.CreatedAt), podState, pod.Metadata.Name, pod.Metadata.Namespace,
			fmt.Sprint(pod.Metadata.Attempt)})
	}
	return options.show(shown, identifiers, "POD ID|CREATED|STATE|NAME|NAMESPACE|ATTEMPT", rows)
}

func inspectPods(ctx context.Context, runtime *client, arguments []string) error {
	flags := newListOptions("inspectp")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	return each("pod", flags.Args(), func(identifier string) error {
		answer, err := runtime.runtime.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: identifier, Verbose: true})
		if err != nil {
			return err
		}
		return printDetails(answer.Status, answer.Info)
	})
}

func stopPods(ctx context.Context, runtime *client, arguments []string) error {
	return each("pod", arguments, func(identifier string) error {
		if _, err := runtime.runtime.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: identifier}); err != nil {
			return err
		}
		fmt.Println("Stopped sandbox", identifier)
		return nil
	})
}

func removePods(ctx context.Context, runtime *client, arguments []string) error {
	flags := pflag.NewFlagSet("rmp", pflag.ContinueOnError)
	force := flags.BoolP("force", "f", false, "stop a pod that runs")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	return each("pod", flags.Args(), func(identifier string) error {
		answer, err := runtime.runtime.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: identifier})
		if err != nil {
			return err
		}
		if answer.Status.State == cri.PodSandboxState_SANDBOX_READY {
			if !*force {
				return errors.New("is running; stop it first, or give --force")
			}
			if _, err := runtime.runtime.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: identifier}); err != nil {
				return err
			}
		}
		if _, err := runtime.runtime.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: identifier}); err != nil {
			return err
		}
		fmt.Println("Removed sandbox", identifier)
		return nil
	})
}

// each does the work for every argument, goes on after a failure, and tells all failures at the end.
func each(subject string, arguments []string, work func(string) error) error {
	if len(arguments) == 0 {
		return fmt.Errorf("%s: found none on the command line, wanted at least one", subject)
	}
	var failures []string
	for _, argument := range arguments {
		if err := work(argument); err != nil {
			failures = append(failures, fmt.Sprintf("%s %s: %v", subject, argument, err))
		}
	}
	if len(failures) > 0 {
		return errors.New(strings.Join(failures, "\n"))
	}
	return nil
}
