package durations

import "testing"

func seconds(t *testing.T, text string) int64 {
	t.Helper()
	found, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestAllUnits(t *testing.T) {
	if found := seconds(t, "2d3h4m5s"); found != 183845 {
		t.Fatal(found)
	}
}

func TestSomeUnits(t *testing.T) {
	if found := seconds(t, "90m"); found != 5400 {
		t.Fatal(found)
	}
	if found := seconds(t, "1d1s"); found != 86401 {
		t.Fatal(found)
	}
}

func TestFaults(t *testing.T) {
	for _, text := range []string{"", "5", "1s1h", "1h 1s", "-1s", "1m1m", "1234567890123s", "\u0661s", "1s\n"} {
		if found, err := Parse(text); err == nil {
			t.Errorf("%q: %d", text, found)
		}
	}
	if found, err := Format(-1); err == nil {
		t.Error(found)
	}
}

func TestFormat(t *testing.T) {
	for number, text := range map[int64]string{0: "0s", 60: "1m", 3600: "1h", 86401: "1d1s", 183845: "2d3h4m5s"} {
		if found, err := Format(number); err != nil || found != text {
			t.Errorf("%d: %q, %v", number, found, err)
		}
	}
}
