#!/bin/sh
echo 1.4
