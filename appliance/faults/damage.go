//go:build linux

package main

import (
	"context"
)

func damages(ctx context.Context, h *harness, ways int) (all result, err error) { return all, nil }
