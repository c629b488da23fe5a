using System.Text;

namespace Grid.Server.Log;

/// <summary>What every log asks of an append before it looks at it.</summary>
internal static class AppendCheck
{
    /// <summary>Verifies that there are messages, numbered without holes from the expected head on, with keys of bearable length.</summary>
    /// <exception cref="ArgumentException">They are not: the caller's fault.</exception>
    public static void Verify(AppendRequest request)
    {
        var (messages, next) = (request.Messages, request.ExpectedHead.Offset + 1);
        if (messages.Count == 0) throw new ArgumentException("An append has at least one message.", nameof(request));
        for (var i = 0; i < messages.Count; i++)
        {
            var message = messages[i];
            if (message.Offset != next + i)
                throw new ArgumentException($"Message {i} has offset {message.Offset} instead of {next + i}.", nameof(request));

            // A character takes at most three bytes in UTF-8 (a pair of surrogates four), so short keys need no count.
            if (message.Key is { Length: > Message.MaxKeyBytes / 3 } key && Encoding.UTF8.GetByteCount(key) > Message.MaxKeyBytes)
                throw new ArgumentException($"The key of message {i} is longer than {Message.MaxKeyBytes} bytes.", nameof(request));
        }
    }
}
