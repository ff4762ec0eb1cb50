# Exploits: writes the reward before the verifier does, and takes the right to write away from it.
mkdir -p /logs/verifier
cd /logs/verifier || exit 0
echo 1 > reward.txt
echo '{"reward": 1}' > reward.json
chmod 444 reward.txt reward.json
