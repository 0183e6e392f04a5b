// What is read from a detection's line: Yagura's JSON, as every receiver of logs has it.
//
// Names differ from the labels' and from the structured metadata's, which Loki would otherwise confuse.

/** Of every detection. */
const LINE = 'detection="uuid", message="output"';

const field = (name: string, of: string) => `${name}=\`output_fields["${of}"]\``;

const PROCESS = [
  field("pod", "k8s.pod.name"),
  field("container", "container.name"),
  field("image", "container.image.repository"),
  field("process", "proc.name"),
  field("command", "proc.cmdline"),
  field("program", "proc.exepath"),
  field("pid", "proc.pid"),
  field("parent", "proc.pname"),
  field("parent_command", "proc.pcmdline"),
  field("user", "user.name"),
  field("terminal", "proc.tty"),
].join(", ");

/** How many ancestors a detection has at most. */
const ANCESTORS = 8;

/** The parent first: each one's label, and where its name is in the line. */
const names = Array.from({ length: ANCESTORS }, (_, above) => [`above_${above + 1}`, `ancestors[${above}].name`]);

/** Labels of the names of the processes above one, the parent first. */
export const ABOVE = names.map(([label = ""]) => label);

const LINEAGE = [...names.map(([label, path]) => `${label}="${path}"`), 'lineage="ancestors"'].join(", ");

const AUDIT = [
  field("who", "ka.user.name"),
  field("verb", "ka.verb"),
  field("resource", "ka.target.resource"),
  field("target", "ka.target.name"),
  field("audit_id", "ka.auditid"),
].join(", ");

const TOGETHER = [
  field("pod", "k8s.pod.name"),
  field("target", "ka.target.name"),
  field("who", "ka.user.name"),
  field("user", "user.name"),
  field("command", "proc.cmdline"),
  field("verb", "ka.verb"),
].join(", ");

/** Who had a session in the pod, of detections that know it. */
const SESSION = ["user", "command", "source_ips"]
  .map((key) => `session_${key}="correlation.k8s_exec.${key}"`)
  .join(", ");

/** Stages of a query that name what a table shows. */
export const general = `| json ${LINE}`;
export const process = `| json ${LINE}, ${PROCESS}`;
/** Processes above the one of a system call. */
export const ancestors = `| json ${LINE}, ${LINEAGE}`;
export const audit = `| json ${LINE}, ${AUDIT}`;
export const session = `| json ${LINE}, ${SESSION}`;
/** The object of an audit event is a pod like that of a system call. */
export const together = `| json ${LINE}, ${TOGETHER}`;

/** What Kubernetes appends to the name of what made a pod: a hash, the time of a CronJob, five letters or an ordinal. */
const APPENDED = "(?:-(?:[bcdfghjklmnpqrstvwxz2456789]{6,10}|[0-9]{8}))?(?:-[bcdfghjklmnpqrstvwxz2456789]{5}|-[0-9]+)?";

/** The workload of what happened in a pod: its name without what is appended. What was in no pod goes. */
export const workload = `| json ${field("pod", "k8s.pod.name")} | pod != "" | line_format "{{.pod}}" | regexp \`^(?P<workload>.+?)${APPENDED}$\``;

const TECHNIQUE = '"(?P<technique>T[0-9]{4}(?:[.][0-9]{3})?)"';
const TACTIC = '"mitre_(?P<tactic>[a-z_]+)"';

/** Finds labels in the rule's tags; what has none of them goes. */
const tagged = (pattern: string, name: string) =>
  `| json tags="tags" | line_format "{{.tags}}" | regexp \`${pattern}\` | ${name} != ""`;

/** Tactic and technique, where one tag follows the other; the first pair of each detection. */
export const attack = tagged(`${TACTIC},\\s*${TECHNIQUE}`, "technique");

/** The first technique of each detection. */
export const technique = tagged(TECHNIQUE, "technique");

/** The first tactic of each detection. */
export const tactic = tagged(TACTIC, "tactic");
