# Read by setup.sh and lock.sh: what may be installed. Only what matches a locked hash, and only wheels, but for two packages
# that are published as sources alone: the locked setuptools builds them, so that nothing more is fetched.
accepted=(--require-hashes --only-binary :all:)
for package in f5-icontrol-rest f5-sdk; do
  accepted+=(--no-binary "$package" --no-build-isolation-package "$package")
done
