// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"strings"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1alpha2"
)

func images(ctx context.Context, runtime *client, arguments []string) error {
	options := newListOptions("images")
	options.Bool("digests", false, "accepted and ignored")
	if err := options.Parse(arguments); err != nil {
		return err
	}
	request := &cri.ListImagesRequest{}
	if options.NArg() > 0 {
		request.Filter = &cri.ImageFilter{Image: &cri.ImageSpec{Image: options.Arg(0)}}
	}
	answer, err := runtime.images.ListImages(ctx, request)
	if err != nil {
		return fmt.Errorf("list of images: %v", err)
	}
	var identifiers []string
	var rows [][]string
	for _, image := range answer.Images {
		identifiers = append(identifiers, image.Id)
		size := fmt.Sprintf("%.1fMB", float64(image.Size_)/1e6)
		for _, tag := range image.RepoTags {
			name, label := splitTag(tag)
			rows = append(rows, []string{name, label, short(image.Id), size})
		}
		if len(image.RepoTags) == 0 {
			rows = append(rows, []string{"<none>", "<none>", short(image.Id), size})
		}
	}
	return options.show(answer, identifiers, "IMAGE|TAG|IMAGE ID|SIZE", rows)
}

// splitTag cuts a reference at the colon before its tag; a registry's port is part of the name.
func splitTag(reference string) (string, string) {
	if colon := strings.LastIndex(reference, ":"); colon > strings.LastIndex(reference, "/") {
		return reference[:colon], reference[colon+1:]
	}
	return reference, "<none>"
}

func inspectImages(ctx context.Context, runtime *client, arguments []string) error {
	flags := newListOptions("inspecti")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	return each("image", flags.Args(), func(name string) error {
		request := &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: name}, Verbose: true}
		answer, err := runtime.images.ImageStatus(ctx, request)
		if err != nil {
			return err
		}
		if answer.Image == nil {
			return fmt.Errorf("not present")
		}
		return printDetails(answer.Image, answer.Info)
	})
}

func pull(ctx context.Context, runtime *client, arguments []string) error {
	return each("image", arguments, func(name string) error {
		answer, err := runtime.images.PullImage(ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: name}})
		if err != nil {
			return err
		}
		fmt.Println("Image is up to date for", answer.ImageRef)
		return nil
	})
}

func removeImages(ctx context.Context, runtime *client, arguments []string) error {
	return each("image", arguments, func(name string) error {
		if _, err := runtime.images.RemoveImage(ctx, &cri.RemoveImageRequest{Image: &cri.ImageSpec{Image: name}}); err != nil {
			return err
		}
		fmt.Println("Deleted:", name)
		return nil
	})
}
