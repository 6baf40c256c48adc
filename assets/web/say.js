// The field for a text to be spoken.

const $ = (id) => document.getElementById(id);

/** Calls `say(text, {chat, cut})` for each text that is sent; one that it doesn't take comes back into the field. */
export function onText(say) {
  // Enter sends, as in every chat; a line of its own is Shift and Enter.
  $('text').addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    $('say').requestSubmit();
  });
  $('say').addEventListener('submit', async (event) => {
    event.preventDefault();
    const text = $('text').value.trim();
    if (!text) return;
    $('text').value = '';
    const chat = !$('chat').closest('label').hidden && $('chat').checked;
    const taken = await say(text, { chat, cut: $('cut')?.checked ?? false });
    if (!taken && !$('text').value) $('text').value = text;
  });
}

/** Offers what the server says in `status` that it can do with a text. */
export function offerChat(status) {
  $('chat').closest('label').hidden = !status?.text?.chat;
}
