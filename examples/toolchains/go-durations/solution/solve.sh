#!/bin/bash
set -euo pipefail

cat > /workspace/durations.go <<'GO'
// Package durations reads and writes durations such as 2d3h4m5s.
package durations

import (
	"fmt"
	"regexp"
	"strconv"
)

var form = regexp.MustCompile(`^(?:([0-9]{1,12})d)?(?:([0-9]{1,12})h)?(?:([0-9]{1,12})m)?(?:([0-9]{1,12})s)?$`)

var units = []struct {
	seconds int64
	letter  string
}{{86400, "d"}, {3600, "h"}, {60, "m"}, {1, "s"}}

// Parse gives the seconds that a text stands for.
func Parse(text string) (int64, error) {
	found := form.FindStringSubmatch(text)
	if found == nil || text == "" {
		return 0, fmt.Errorf("no duration: %q", text)
	}
	var seconds int64
	for index, unit := range units {
		if number := found[index+1]; number != "" {
			value, err := strconv.ParseInt(number, 10, 64)
			if err != nil {
				return 0, err
			}
			seconds += value * unit.seconds
		}
	}
	return seconds, nil
}

// Format gives the shortest text for so many seconds.
func Format(seconds int64) (string, error) {
	if seconds < 0 {
		return "", fmt.Errorf("negative: %d", seconds)
	}
	text := ""
	for _, unit := range units {
		if count := seconds / unit.seconds; count > 0 {
			text += strconv.FormatInt(count, 10) + unit.letter
		}
		seconds %= unit.seconds
	}
	if text == "" {
		text = "0s"
	}
	return text, nil
}
GO
