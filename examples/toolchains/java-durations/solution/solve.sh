#!/bin/bash
set -euo pipefail

cat > /workspace/src/Durations.java <<'JAVA'
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Durations such as 2d3h4m5s. */
public final class Durations {
    private static final Pattern FORM =
            Pattern.compile("(?=.)(?:([0-9]{1,12})d)?(?:([0-9]{1,12})h)?(?:([0-9]{1,12})m)?(?:([0-9]{1,12})s)?");
    private static final long[] UNITS = {86400, 3600, 60, 1};

    private Durations() {}

    /** The seconds that a text stands for. */
    public static long parse(String text) {
        Matcher matcher = FORM.matcher(text);
        if (!matcher.matches()) {
            throw new IllegalArgumentException("no duration: " + text);
        }
        long seconds = 0;
        for (int unit = 0; unit < UNITS.length; unit++) {
            String number = matcher.group(unit + 1);
            seconds += number == null ? 0 : Long.parseLong(number) * UNITS[unit];
        }
        return seconds;
    }

    /** The shortest text for so many seconds. */
    public static String format(long seconds) {
        if (seconds < 0) {
            throw new IllegalArgumentException("negative: " + seconds);
        }
        StringBuilder text = new StringBuilder();
        long left = seconds;
        for (int unit = 0; unit < UNITS.length; unit++) {
            if (left / UNITS[unit] > 0) {
                text.append(left / UNITS[unit]).append("dhms".charAt(unit));
            }
            left %= UNITS[unit];
        }
        return text.length() == 0 ? "0s" : text.toString();
    }
}
JAVA
