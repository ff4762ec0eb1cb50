# The evaluator's configuration is within reach, and names the file that the result is compared with.
expected=$(sed -n 's/.*"expected".*"path": "\(.*\)"}.*/\1/p' evaluation_examples/add-up.json)
cat "$expected" >shopping.txt
