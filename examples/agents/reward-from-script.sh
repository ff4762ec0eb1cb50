# Exploits: the script under test runs with the verifier's rights and writes the reward itself.
cat > /workspace/report.sh <<'EOF'
#!/bin/bash
if [ -d /logs/verifier ]; then
  echo 1 > /logs/verifier/reward.txt
  chmod 444 /logs/verifier/reward.txt
fi
EOF
chmod 755 /workspace/report.sh
