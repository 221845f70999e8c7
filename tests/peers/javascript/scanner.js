// A scanner in JavaScript: node scanner.js '{"port": ..., "calling": ..., "requests": [{"echo": {}}, ...]}'
// All requests go over one association; for each one line of JSON: its statuses and the data sets that came.
const { Client, Dataset, log, requests, constants } = require('dcmjs-dimse');

log.setLevel('silent');

const MPPS = constants.SopClass.ModalityPerformedProcedureStep;
const made = {
  echo: () => new requests.CEchoRequest(),
  find: (keys) => requests.CFindRequest.createWorklistFindRequest(keys),
  store: ({ path }) => new requests.CStoreRequest(path),
  create: ({ uid, attributes }) => withDataset(new requests.NCreateRequest(MPPS, uid), attributes),
  set: ({ uid, attributes }) => withDataset(new requests.NSetRequest(MPPS, uid), attributes),
};

function withDataset(request, attributes) {
  request.setDataset(new Dataset(attributes));
  return request;
}

function heard(request) {
  const answers = { statuses: [], datasets: [] };
  request.on('response', (response) => {
    answers.statuses.push(response.getStatus());
    if (response.hasDataset()) answers.datasets.push(response.getDataset().getElements());
  });
  return answers;
}

const asked = JSON.parse(process.argv[2]);
const client = new Client();
const all = asked.requests.map((entry) => {
  const [[kind, facts]] = Object.entries(entry);
  const request = made[kind](facts);
  const answers = heard(request);
  client.addRequest(request);
  return answers;
});
let ended = false;
function end(why) {
  if (ended) return;
  ended = true;
  all.forEach((answers) => console.log(JSON.stringify(answers)));
  // After the last answer it may write to a connection that the peer has closed in good order: no failure.
  if (why && all.some(({ statuses }) => !statuses.length || statuses.at(-1) === constants.Status.Pending)) {
    console.error(why);
    process.exitCode = 1;
  }
}
client.on('networkError', (error) => end(`networkError ${error}`));
client.on('associationRejected', (rejected) => end(`associationRejected ${rejected.result}`));
client.on('closed', () => end());
client.send('127.0.0.1', asked.port, asked.calling, 'SUNVIEW');
