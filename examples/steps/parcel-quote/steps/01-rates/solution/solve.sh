#!/bin/bash
awk '$1 == "up" { printf "%d,%d\n", $3, $5 * 100 + 0.5 }' tariff.txt >rates.csv
