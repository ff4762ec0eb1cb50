#!/bin/bash
total=0
while read -r weight; do
  price=$(awk -F, -v weight="$weight" '$1 >= weight { print $2; exit }' rates.csv)
  total=$((total + price))
done <parcels.txt
echo "$total" >quote.txt
