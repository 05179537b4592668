// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1alpha2"
)

func info(ctx context.Context, runtime *client, _ []string) error {
	answer, err := runtime.runtime.Status(ctx, &cri.StatusRequest{Verbose: true})
	if err != nil {
		return fmt.Errorf("runtime status: %v", err)
	}
	return printDetails(answer.Status, answer.Info)
}

func runtimeVersion(ctx context.Context, runtime *client, _ []string) error {
	answer, err := runtime.runtime.Version(ctx, &cri.VersionRequest{})
	if err != nil {
		return fmt.Errorf("runtime version: %v", err)
	}
	fmt.Printf("Version:  %s\nRuntimeName:  %s\nRuntimeVersion:  %s\nRuntimeApiVersion:  %s\n",
		answer.Version, answer.RuntimeName, answer.RuntimeVersion, answer.RuntimeApiVersion)
	return nil
}
