using Grid.Abstractions;

namespace Grid.Server.Channels;

/// <summary>One call to publish, on its way through the sequencer: its drafts, and the answers gathered so far.</summary>
internal sealed class PublishTicket(PublishBatch batch)
{
    private readonly TaskCompletionSource<PublishReceipt[]> _done = new();
    private readonly PublishReceipt[] _receipts = new PublishReceipt[batch.Drafts.Length];
    private int _open = batch.Drafts.Length;

    /// <summary>What is published.</summary>
    public PublishBatch Batch { get; } = batch;

    /// <summary>Ends when every draft has its answer.</summary>
    public Task<PublishReceipt[]> Completion => _done.Task;

    /// <summary>Answers one draft.</summary>
    public void Resolve(int index, PublishReceipt receipt)
    {
        _receipts[index] = receipt;
        if (--_open == 0) _done.TrySetResult(_receipts);
    }

    /// <summary>Whether no draft has its answer yet.</summary>
    public bool IsUntouched => _open == _receipts.Length;

    /// <summary>Fails the whole call: none of its drafts was stored.</summary>
    public void Fail(Exception exception) => _done.TrySetException(exception);
}
