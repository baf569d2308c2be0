// Runs the Khronos validator on .glb files: node validate.js FILE...
// Prints one JSON list of {file, errors, warnings, messages}; exits with 1 if there is any error or warning.
"use strict";

const fs = require("fs");
const validator = require("gltf-validator");

async function check(file) {
  const { issues } = await validator.validateBytes(new Uint8Array(fs.readFileSync(file)), { uri: file });
  return { file, errors: issues.numErrors, warnings: issues.numWarnings, messages: issues.messages };
}

async function main(files) {
  if (files.length === 0) throw new Error("usage: node validate.js FILE...");
  const reports = await Promise.all(files.map(check));
  console.log(JSON.stringify(reports, null, 2));
  process.exitCode = reports.some((report) => report.errors + report.warnings > 0) ? 1 : 0;
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exitCode = 2;
});
