// Package durations reads and writes durations such as 2d3h4m5s.
package durations

import "errors"

// Parse gives the seconds that a text stands for.
func Parse(text string) (int64, error) {
	return 0, errors.New("not written yet")
}

// Format gives the shortest text for so many seconds.
func Format(seconds int64) (string, error) {
	return "", errors.New("not written yet")
}
